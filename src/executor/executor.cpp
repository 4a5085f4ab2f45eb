// The executor's loop over instructions.
#include "src/executor/executor.hpp"

#include <fmt/format.h>

#include <cstring>

#include "weft/error.hpp"

namespace weft {

std::vector<std::shared_ptr<Kernel>> KernelCache::get(std::span<const KernelSpec> specs) {
  std::vector<std::string> keys;
  std::map<std::string, const KernelSpec*> missing;
  for (const KernelSpec& spec : specs) {
    keys.push_back(spec.key());
    if (!kernels_.contains(keys.back())) missing.emplace(keys.back(), &spec);
  }
  std::vector<const KernelSpec*> wanted;
  for (const auto& [key, spec] : missing) wanted.push_back(spec);
  std::vector<std::unique_ptr<Kernel>> compiled = device_->compile_all(wanted);
  check_internal(compiled.size() == wanted.size(), "a device compiled another number of kernels than it was asked for");
  std::size_t next = 0;
  for (const auto& [key, spec] : missing) kernels_[key] = std::move(compiled[next++]);
  std::vector<std::shared_ptr<Kernel>> found;
  for (const std::string& key : keys) found.push_back(kernels_.at(key));
  return found;
}

std::vector<KernelUse> kernel_uses(const Program& program) {
  std::vector<KernelUse> uses;
  for (const KernelSpec& spec : program.kernels) uses.push_back({&spec, 0, {}});
  // Views in the arena are the same memory where they begin at the same place, whatever buffer they are of.
  const auto place = [&](const View& v) {
    const Buffer& b = program.buffers[static_cast<std::size_t>(v.buffer)];
    const bool arena = b.kind == BufferKind::arena;
    return std::pair(arena ? -1 - static_cast<int>(b.space) : v.buffer, (arena ? b.offset : 0) + v.offset);
  };
  for (const Instruction& i : program.instructions) {
    if (i.kernel < 0) continue;
    KernelUse& use = uses[static_cast<std::size_t>(i.kernel)];
    std::vector<int> over(i.writes.size(), -1);
    for (std::size_t w = 0; w < i.writes.size(); ++w)
      for (std::size_t r = 0; r < i.reads.size() && over[w] < 0; ++r)
        if (place(i.writes[w]) == place(i.reads[r])) over[w] = static_cast<int>(r);
    if (use.launches++ == 0)
      use.over = std::move(over);
    else
      for (std::size_t w = 0; w < use.over.size(); ++w)
        if (use.over[w] != over[w]) use.over[w] = -1;
  }
  return uses;
}

Communicator& CommunicatorSet::group(const std::vector<std::string>& axes) {
  if (mesh_.ranks() == static_cast<int>(mesh_.group(0, axes).size())) return *world_;
  auto& slot = groups_[axes];
  if (!slot) {
    const std::vector<int> ranks = mesh_.group(world_->rank(), axes);
    slot = world_->split(ranks.front(), world_->rank());
  }
  return *slot;
}

void ArenaPool::reserve(std::int64_t bytes, MemorySpace space) {
  auto& arena = arenas_[static_cast<int>(space)];
  if (bytes > 0 && (!arena || arena->bytes() < bytes)) {
    arena.reset();  // first: both need not fit at once
    arena = device_->allocate(bytes, space);
  }
}

std::byte* ArenaPool::data(MemorySpace space) const {
  const auto& arena = arenas_[static_cast<int>(space)];
  return arena ? arena->data() : nullptr;
}

Executor::Executor(Program program, Device& device, StateTable& states, KernelCache& cache, ArenaPool& arena,
                   CommunicatorSet* groups, const std::set<std::string>& bound_fetches)
    : program_(std::move(program)),
      device_(&device),
      base_(program_.buffers.size(), nullptr),
      bound_(program_.instructions.size()) {
  for (std::size_t b = 0; b < program_.buffers.size(); ++b) {
    Buffer& buffer = program_.buffers[b];
    switch (buffer.kind) {
      case BufferKind::arena: base_[b] = arena.data(buffer.space) + buffer.offset; break;
      case BufferKind::state: {
        const StateEntry& state = states.at(buffer.name);
        if (state.type != TensorType{buffer.dtype, buffer.layout.shape})
          throw InternalError(fmt::format("program '{}': state '{}' is {}, not {}{}", program_.role, buffer.name,
                                          state.type.str(), name_of(buffer.dtype), buffer.layout.shape.str()));
        base_[b] = state.memory->data();
        break;
      }
      case BufferKind::constant:
        owned_.push_back(device.allocate(buffer.bytes, buffer.space));
        base_[b] = owned_.back()->data();
        device.copy(base_[b], buffer.space, buffer.literal.value().data(), MemorySpace::host, buffer.bytes, Lane::copy);
        break;
      case BufferKind::fetch:
        if (bound_fetches.count(buffer.name) != 0) break;
        owned_.push_back(device.allocate(buffer.bytes, buffer.space));
        base_[b] = owned_.back()->data();
        break;
      case BufferKind::feed: break;
    }
  }
  device.synchronize(Lane::copy);
  const std::vector<std::shared_ptr<Kernel>> kernels = cache.get(program_.kernels);
  for (std::size_t i = 0; i < program_.instructions.size(); ++i) resolve(i, kernels, groups);
}

std::byte* Executor::address(const View& view) const {
  std::byte* base = base_[static_cast<std::size_t>(view.buffer)];
  return base == nullptr ? nullptr : base + view.offset;
}

void Executor::resolve(std::size_t n, const std::vector<std::shared_ptr<Kernel>>& kernels, CommunicatorSet* groups) {
  const Instruction& instruction = program_.instructions[n];
  Bound& bound = bound_[n];
  const auto add = [&](const View& view) {
    const BufferKind kind = program_.buffers[static_cast<std::size_t>(view.buffer)].kind;
    if (kind == BufferKind::feed || kind == BufferKind::fetch)
      bound.moving.emplace_back(static_cast<int>(bound.arguments.size()), view.buffer);
    bound.arguments.push_back(address(view));
  };
  for (const View& v : instruction.reads) add(v);
  for (const View& v : instruction.writes) add(v);
  if (instruction.scratch.buffer >= 0) add(instruction.scratch);
  if (instruction.kind == InstructionKind::kernel) bound.kernel = kernels[static_cast<std::size_t>(instruction.kernel)];
  if (instruction.kind == InstructionKind::collective_start) {
    if (groups == nullptr)
      throw InternalError("program '" + program_.role + "' has collectives, but there is no communicator");
    bound.group = &groups->group(instruction.collective.axes);
  }
}

void Executor::bind(const std::string& feed, const std::byte* data, std::int64_t bytes) {
  const int b = program_.find_buffer(feed, BufferKind::feed);
  check_internal(b >= 0, "program '" + program_.role + "' has no feed '" + feed + "'");
  bind_buffer(b, feed, const_cast<std::byte*>(data), bytes);  // a feed is only ever read
}

void Executor::bind_fetch(const std::string& fetch, std::byte* data, std::int64_t bytes) {
  const int b = program_.find_buffer(fetch, BufferKind::fetch);
  check_internal(b >= 0, "program '" + program_.role + "' has no fetch '" + fetch + "'");
  bind_buffer(b, fetch, data, bytes);
}

void Executor::bind_buffer(int buffer, const std::string& name, std::byte* data, std::int64_t bytes) {
  const std::int64_t wanted = program_.buffers[static_cast<std::size_t>(buffer)].bytes;
  if (bytes != wanted)
    throw InternalError(fmt::format("program '{}': '{}' takes {} bytes, given {}", program_.role, name, wanted, bytes));
  base_[static_cast<std::size_t>(buffer)] = data;
}

namespace {

std::unique_ptr<Request> started(Communicator& group, const CollectiveSpec& c, const std::byte* from, std::byte* to,
                                 const OperationLabel& label) {
  switch (c.kind) {
    case CollectiveKind::all_reduce: return group.start_all_reduce(from, to, c.count, c.dtype, c.reduce, label);
    case CollectiveKind::all_gather: return group.start_all_gather(from, to, c.count, c.dtype, label);
    case CollectiveKind::reduce_scatter:
      return group.start_reduce_scatter(from, to, c.count / group.size(), c.dtype, c.reduce, label);
    default: throw InternalError("executor: '" + label.name + "' is a collective that is not lowered");
  }
}

}  // namespace

void Executor::start_collective(std::size_t n, std::int64_t step) {
  const Instruction& instruction = program_.instructions[n];
  const CollectiveSpec& c = instruction.collective;
  device_->synchronize(Lane::compute);
  const OperationLabel label{instruction.name, step, c.sequence};
  requests_[static_cast<int>(n)] = started(*bound_[n].group, c, bound_[n].arguments[0], bound_[n].arguments[1], label);
}

void Executor::execute(std::size_t n, std::int64_t step) {
  const Instruction& instruction = program_.instructions[n];
  Bound& bound = bound_[n];
  for (const auto& [argument, buffer] : bound.moving) {
    const auto a = static_cast<std::size_t>(argument);
    const std::size_t reads = instruction.reads.size();
    const View& view = a < reads ? instruction.reads[a] : instruction.writes.at(a - reads);
    bound.arguments[a] = base_[static_cast<std::size_t>(buffer)] + view.offset;
  }
  switch (instruction.kind) {
    case InstructionKind::kernel: device_->launch(*bound.kernel, bound.arguments, instruction.lane); break;
    case InstructionKind::collective_start: start_collective(n, step); break;
    case InstructionKind::wait: {
      const auto request = requests_.find(instruction.waits.at(0));
      request->second->wait();
      requests_.erase(request);
      break;
    }
    case InstructionKind::copy: {
      const View& from = instruction.reads.at(0);
      const View& to = instruction.writes.at(0);
      device_->copy(bound.arguments[1], program_.buffers[static_cast<std::size_t>(to.buffer)].space, bound.arguments[0],
                    program_.buffers[static_cast<std::size_t>(from.buffer)].space, from.layout.bytes(from.dtype),
                    instruction.lane);
      break;
    }
    case InstructionKind::if_:
    case InstructionKind::while_: throw InternalError("executor: control flow is not lowered");
  }
}

bool Executor::run(std::int64_t step, ExecutionObserver* observer) {
  for (std::size_t b = 0; b < base_.size(); ++b)
    if (base_[b] == nullptr && program_.buffers[b].bytes > 0)
      throw InternalError("program '" + program_.role + "': '" + program_.buffers[b].name + "' is not bound");
  bool complete = true;
  for (std::size_t n = 0; n < program_.instructions.size() && complete; ++n) {
    if (observer != nullptr) observer->begin(program_, static_cast<int>(n));
    execute(n, step);
    if (observer != nullptr) complete = observer->end(program_, static_cast<int>(n));
  }
  for (const auto& [start, request] : requests_) request->wait();
  requests_.clear();
  device_->synchronize(Lane::compute);
  return complete;
}

Tensor Executor::fetch(const std::string& name) const {
  const int b = program_.find_buffer(name, BufferKind::fetch);
  check_internal(b >= 0, "program '" + program_.role + "' has no fetch '" + name + "'");
  const Buffer& buffer = program_.buffers[static_cast<std::size_t>(b)];
  Tensor result(buffer.dtype, buffer.layout.shape);
  if (result.bytes() > 0) std::memcpy(result.mutable_data(), base_[static_cast<std::size_t>(b)], result.bytes());
  return result;
}

Tensor Executor::peek(const View& view) const {
  check_internal(view.layout.is_row_major(), "peek reads row-major views");
  Tensor result(view.dtype, view.layout.shape);
  device_->copy(result.mutable_data(), MemorySpace::host, address(view),
                program_.buffers[static_cast<std::size_t>(view.buffer)].space,
                static_cast<std::int64_t>(result.bytes()), Lane::copy);
  device_->synchronize(Lane::copy);
  return result;
}

}  // namespace weft
