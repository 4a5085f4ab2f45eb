// Executor: runs a Program on a device, with a communicator for its collectives.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "weft/communicator.hpp"
#include "weft/device.hpp"
#include "weft/mesh.hpp"
#include "weft/program.hpp"
#include "weft/state.hpp"

namespace weft {

/// Compiled kernels by content key, shared by all Programs of a rank.
class KernelCache {
 public:
  explicit KernelCache(Device& device) : device_(&device) {}
  /// One for each of `specs`. Those that are new are compiled together.
  std::vector<std::shared_ptr<Kernel>> get(std::span<const KernelSpec> specs);
  std::size_t size() const { return kernels_.size(); }

 private:
  Device* device_;
  std::map<std::string, std::shared_ptr<Kernel>> kernels_;
};

/// The kernels of a Program as Device::tune takes them; they point into it.
std::vector<KernelUse> kernel_uses(const Program& program);

/// Groups of ranks that span sets of mesh axes, made when first asked for. `group` is collective over the world.
class CommunicatorSet {
 public:
  CommunicatorSet(Communicator& world, Mesh mesh) : world_(&world), mesh_(std::move(mesh)) {}
  Communicator& group(const std::vector<std::string>& axes);

 private:
  Communicator* world_;
  Mesh mesh_;
  std::map<std::vector<std::string>, std::unique_ptr<Communicator>> groups_;
};

/// Told of every instruction before it is launched and after it is done (for collectives: started). Called on the
/// compute thread; must be cheap.
class ExecutionObserver {
 public:
  virtual ~ExecutionObserver() = default;
  virtual void begin(const Program& program, int instruction) = 0;
  /// False ends the run here: collectives in flight are waited for, nothing further is launched. Where the Program has
  /// collectives all ranks must decide alike.
  virtual bool end(const Program& program, int instruction) = 0;
};

/// Memory that the arenas of several Programs share: they never run at the same time.
class ArenaPool {
 public:
  explicit ArenaPool(Device& device) : device_(&device) {}
  /// Grows to at least `bytes`; executors made before keep the address they had, so grow before making them.
  void reserve(std::int64_t bytes, MemorySpace space);
  std::byte* data(MemorySpace space) const;

 private:
  Device* device_;
  std::unique_ptr<Allocation> arenas_[3];
};

/// One Program bound to states, arena and compiled kernels: everything but feeds is resolved when it is made.
class Executor {
 public:
  /// Compiles kernels (through the cache) and resolves addresses. `arena` must be reserved already. Collective when the
  /// Program has collectives (it makes the groups). Throws InternalError when a state is missing or of another type.
  /// Fetches in `bound_fetches` get their memory by bind_fetch.
  Executor(Program program, Device& device, StateTable& states, KernelCache& cache, ArenaPool& arena,
           CommunicatorSet* groups, const std::set<std::string>& bound_fetches = {});

  /// Binds a feed to host memory of `bytes` bytes that stays valid during `run`. Throws InternalError on a wrong size.
  void bind(const std::string& feed, const std::byte* data, std::int64_t bytes);
  void bind(const std::string& feed, const Tensor& value) {
    bind(feed, value.data(), static_cast<std::int64_t>(value.bytes()));
  }
  /// The same for a fetch of `bound_fetches`: it is written there.
  void bind_fetch(const std::string& fetch, std::byte* data, std::int64_t bytes);
  bool has_feed(const std::string& feed) const { return program_.find_buffer(feed, BufferKind::feed) >= 0; }

  /// Runs all instructions. Collective as the Program is. `step` labels collectives. False when the observer ended it.
  bool run(std::int64_t step, ExecutionObserver* observer = nullptr);

  /// A fetch of the last run.
  Tensor fetch(const std::string& name) const;
  /// An arena view after a run, as long as nothing else has run: for diagnosis.
  Tensor peek(const View& view) const;

  const Program& program() const { return program_; }

 private:
  struct Bound {
    std::shared_ptr<Kernel> kernel;
    std::vector<std::byte*> arguments;
    std::vector<std::pair<int, int>> moving;  ///< (argument, feed or fetch): patched before each run
    Communicator* group = nullptr;
  };

  void resolve(std::size_t instruction, const std::vector<std::shared_ptr<Kernel>>& kernels, CommunicatorSet* groups);
  std::byte* address(const View& view) const;
  void bind_buffer(int buffer, const std::string& name, std::byte* data, std::int64_t bytes);
  void execute(std::size_t instruction, std::int64_t step);
  void start_collective(std::size_t instruction, std::int64_t step);

  Program program_;
  Device* device_;
  std::vector<std::byte*> base_;  ///< per buffer; nullptr for unbound feeds
  std::vector<std::unique_ptr<Allocation>> owned_;
  std::vector<Bound> bound_;
  std::map<int, std::unique_ptr<Request>> requests_;
};

}  // namespace weft
