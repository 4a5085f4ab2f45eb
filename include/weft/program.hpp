// Program: what one role executes in one step: an ordered list of instructions over planned memory.
//
// The executor runs it, the simulator prices it, the tracer shows it: each is a loop over `instructions`. Order in the
// list is a valid execution order; instructions on different lanes may overlap unless `waits` or a later `wait`
// instruction orders them. Two buffers share arena bytes only where every use of the one happens before the other.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "weft/dtype.hpp"
#include "weft/kernel.hpp"
#include "weft/layout.hpp"
#include "weft/tensor.hpp"

namespace weft {

enum class Lane : std::uint8_t { compute, communication, copy };
enum class MemorySpace : std::uint8_t { host, pinned, device };

enum class BufferKind : std::uint8_t {
  arena,     ///< lives inside one execution, at `offset` of its space's arena
  state,     ///< named, outlives Programs, shared between them
  constant,  ///< `literal`, uploaded once
  feed,      ///< bound to caller memory or to a run-time scalar for each execution
  fetch      ///< read by the caller after the execution
};

struct Buffer {
  std::string name;
  BufferKind kind = BufferKind::arena;
  MemorySpace space = MemorySpace::host;
  std::int64_t bytes = 0;
  std::int64_t offset = 0;        ///< arena only, 64-byte aligned
  DType dtype = DType::f32;       ///< of the whole buffer, for state, feeds and fetches
  Layout layout;                  ///< likewise
  std::optional<Tensor> literal;  ///< constant only
};

/// A typed window on a buffer. Gradient buckets, concatenations and slices are views, not copies.
struct View {
  int buffer = -1;
  std::int64_t offset = 0;  ///< bytes from the buffer's start
  DType dtype = DType::f32;
  Layout layout;
};

enum class ReduceKind : std::uint8_t { sum, max, min };
enum class CollectiveKind : std::uint8_t {
  all_reduce,
  all_gather,
  reduce_scatter,
  all_to_all,
  broadcast,
  send,
  receive
};

/// One collective, the same on every rank of its group but for the memory that it names.
struct CollectiveSpec {
  CollectiveKind kind = CollectiveKind::all_reduce;
  std::vector<std::string> axes;  ///< mesh axes that span the group
  ReduceKind reduce = ReduceKind::sum;
  DType dtype = DType::f32;
  std::int64_t count = 0;  ///< elements contributed by this rank
  int root = 0;            ///< broadcast; peer for send and receive
  int sequence = 0;        ///< position among this Program's collectives, equal on all ranks
};

enum class InstructionKind : std::uint8_t { kernel, collective_start, wait, copy, if_, while_ };

struct Instruction {
  InstructionKind kind = InstructionKind::kernel;
  Lane lane = Lane::compute;
  std::string name;  ///< for people: "conv1 + bias + relu", "all-reduce bucket 3"
  std::vector<View> reads;
  std::vector<View> writes;          ///< a kernel's arguments are reads, then writes, then scratch
  View scratch;                      ///< buffer -1: none
  int kernel = -1;                   ///< index into Program::kernels
  CollectiveSpec collective;         ///< collective_start only
  std::vector<int> waits;            ///< earlier instructions on other lanes that must have finished; for `wait`, the
                                     ///< collective_start that it completes
  std::vector<int> bodies;           ///< if / while: indices into Program::bodies
  std::vector<std::string> sources;  ///< names of the graph nodes that it computes
};

struct Program {
  std::string role;  ///< "train micro=32", "train tail=17", "eval batch=128"
  std::vector<Buffer> buffers;
  std::vector<KernelSpec> kernels;
  std::vector<double> kernel_seconds;  ///< the oracle's estimate for each kernel
  std::vector<Instruction> instructions;
  std::vector<Program> bodies;              ///< of if and while
  std::int64_t arena_bytes[3] = {0, 0, 0};  ///< by MemorySpace
  std::int64_t liveness_bound_bytes = 0;    ///< largest sum of live arena bytes: no packing can beat it

  int find_buffer(std::string_view name, BufferKind kind) const;  ///< -1 when absent
  /// Bytes of all distinct states, feeds, fetches and constants.
  std::int64_t resident_bytes() const;
  /// Ordering, view bounds, and that no two live arena buffers overlap. Throws InternalError naming the instruction.
  void verify() const;
  /// A table: one instruction a line, with lane, kernel, operands and waits.
  std::string str() const;
  /// What must agree between ranks: (sequence, kind, axes, bytes, type) of each collective, in order.
  std::string collective_signature() const;
  /// Content hash of everything but human-readable names.
  std::uint64_t hash() const;
};

}  // namespace weft
