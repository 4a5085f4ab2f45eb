// From scheduled units to instructions.
#include "graph/lowering/emit.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "weft/error.hpp"

namespace weft::lowering {
namespace {

class Emitter {
 public:
  Emitter(LoweredGraph graph, const std::vector<Step>& steps, std::string role, MemorySpace space)
      : graph_(std::move(graph)), steps_(steps), space_(space) {
    program_.role = std::move(role);
  }

  Program run() {
    place_fetches();
    for (const Step& step : steps_) {
      emit_step(step);
      emit_fetch_copies(step);
    }
    for (const std::size_t f : fetch_copies_) emit_fetch_copy(f);
    return std::move(program_);
  }

 private:
  /// A fetched tensor with memory of its own becomes the fetch buffer; others are copied out once they are known.
  void place_fetches() {
    for (std::size_t i = 0; i < graph_.fetches.size(); ++i) {
      const auto& [name, t] = graph_.fetches[i];
      LoweredTensor& tensor = graph_.tensor(t);
      if (tensor.kind == BufferKind::arena && tensor.storage < 0) {
        tensor.kind = BufferKind::fetch;
        tensor.name = name;
      } else {
        fetch_copies_.push_back(i);
      }
    }
  }

  int buffer_of(int root) {
    const auto found = buffers_.find(root);
    if (found != buffers_.end()) return found->second;
    const LoweredTensor& t = graph_.tensor(root);
    Buffer buffer;
    buffer.name = t.name;
    buffer.kind = t.kind;
    buffer.space = t.kind == BufferKind::fetch || t.kind == BufferKind::feed ? MemorySpace::host : space_;
    buffer.bytes = t.bytes();
    buffer.dtype = t.dtype;
    buffer.layout = t.layout;
    buffer.literal = t.literal;
    program_.buffers.push_back(std::move(buffer));
    return buffers_[root] = static_cast<int>(program_.buffers.size()) - 1;
  }

  View view(int t) {
    const LoweredTensor& tensor = graph_.tensor(t);
    return {buffer_of(graph_.root(t)), tensor.offset, tensor.dtype, tensor.layout};
  }

  int kernel_of(const LoweredUnit& unit) {
    const auto [it, added] =
        kernels_.try_emplace(unit.key.empty() ? unit.spec.key() : unit.key, static_cast<int>(program_.kernels.size()));
    if (added) {
      program_.kernels.push_back(unit.spec);
      program_.kernel_seconds.push_back(unit.seconds);
    }
    return it->second;
  }

  View scratch_of(const LoweredUnit& unit) {
    Buffer scratch;
    scratch.name = "scratch of " + unit.name;
    scratch.bytes = unit.spec.scratch_bytes;
    scratch.space = space_;
    scratch.dtype = DType::u8;
    scratch.layout = Layout::dense(Shape{unit.spec.scratch_bytes});
    program_.buffers.push_back(scratch);
    return {static_cast<int>(program_.buffers.size()) - 1, 0, DType::u8, scratch.layout};
  }

  void emit_step(const Step& step) {
    Instruction i;
    switch (step.kind) {
      case Step::Kind::run: {
        const LoweredUnit& unit = graph_.unit(step.unit);
        if (unit.kind == UnitKind::view) return;
        i.name = unit.name;
        i.sources = unit.sources;
        for (const int t : unit.inputs) i.reads.push_back(view(t));
        for (const int t : unit.outputs) i.writes.push_back(view(t));
        if (unit.kind == UnitKind::collective) {
          i.kind = InstructionKind::collective_start;
          i.lane = Lane::communication;
          i.collective = unit.collective;
          if (unit.collective.kind == CollectiveKind::all_reduce) {
            // One contiguous range: the bucket, from its start.
            const int bucket = buffer_of(graph_.root(unit.inputs.at(0)));
            const Buffer& b = program_.buffers[static_cast<std::size_t>(bucket)];
            i.reads = i.writes = {View{bucket, 0, unit.collective.dtype, b.layout}};
          }
          started_[step.unit] = static_cast<int>(program_.instructions.size());
        } else {
          i.kernel = kernel_of(unit);
          if (unit.spec.scratch_bytes > 0) i.scratch = scratch_of(unit);
        }
        break;
      }
      case Step::Kind::wait: {
        const int start = started_.at(step.unit);
        i.kind = InstructionKind::wait;
        i.name = "wait for " + graph_.unit(step.unit).name;
        i.waits = {start};
        break;
      }
      case Step::Kind::copy_state: {
        const auto& [name, t] = graph_.state_updates[static_cast<std::size_t>(step.update)];
        i = copy(name, t, BufferKind::state);
        break;
      }
    }
    program_.instructions.push_back(std::move(i));
  }

  Instruction copy(const std::string& name, int from, BufferKind kind) {
    Instruction i;
    i.kind = InstructionKind::copy;
    i.name = "copy to " + name;
    i.reads = {view(from)};
    const LoweredTensor& t = graph_.tensor(from);
    int to = program_.find_buffer(name, kind);
    if (to < 0) {
      Buffer buffer;
      buffer.name = name;
      buffer.kind = kind;
      buffer.space = kind == BufferKind::fetch ? MemorySpace::host : space_;
      buffer.bytes = t.bytes();
      buffer.dtype = t.dtype;
      buffer.layout = t.layout;
      program_.buffers.push_back(std::move(buffer));
      to = static_cast<int>(program_.buffers.size()) - 1;
    }
    i.writes = {{to, 0, t.dtype, t.layout}};
    return i;
  }

  /// Fetches that `step` completes: a loss that a collective sums is known before anything acts on it.
  void emit_fetch_copies(const Step& step) {
    if (step.kind == Step::Kind::copy_state) return;
    const LoweredUnit& unit = graph_.unit(step.unit);
    if (unit.kind == UnitKind::collective && step.kind != Step::Kind::wait) return;
    std::erase_if(fetch_copies_, [&](std::size_t f) {
      const int origin = graph_.origin(graph_.fetches[f].second);
      if (std::find(unit.outputs.begin(), unit.outputs.end(), origin) == unit.outputs.end()) return false;
      emit_fetch_copy(f);
      return true;
    });
  }

  void emit_fetch_copy(std::size_t f) {
    program_.instructions.push_back(copy(graph_.fetches[f].first, graph_.fetches[f].second, BufferKind::fetch));
  }

  LoweredGraph graph_;
  const std::vector<Step>& steps_;
  MemorySpace space_;
  Program program_;
  std::vector<std::size_t> fetch_copies_;
  std::map<int, int> buffers_;          ///< root tensor -> buffer
  std::map<int, int> started_;          ///< collective unit -> instruction
  std::map<std::string, int> kernels_;  ///< spec key -> kernel
};

}  // namespace

Program emit(LoweredGraph graph, const std::vector<Step>& steps, std::string role, MemorySpace space) {
  return Emitter(std::move(graph), steps, std::move(role), space).run();
}

}  // namespace weft::lowering
