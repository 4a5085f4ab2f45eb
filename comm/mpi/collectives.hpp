// The collective algorithms, as schedules over point-to-point messages.
//
// Why our own, where MPI has them: (1) every element is reduced in rank order, so a result repeats bit for bit whatever
// the timing, the count or the cut into buckets; (2) f16 and bf16 sums accumulate in f32; (3) large arrays move in
// windows, so that arithmetic on one overlaps the exchange of the next, and scratch stays small; (4) a rank that does
// not come is known by its missing message. Each rank talks to every other directly: one round a phase, 2 (p-1)/p n
// bytes each way for an all-reduce of n, which is the lower bound; the number of messages grows with p.
//
// All ranks must make the same calls with equal counts; that they do is checked by what opens each exchange, also of
// nothing (opening.hpp). Buffers stay valid until the schedule is finished.
#pragma once

#include "comm/mpi/transfers.hpp"
#include "weft/dtype.hpp"
#include "weft/program.hpp"

namespace weft {

/// Arrays up to this size travel whole to every rank, one round instead of two.
inline constexpr std::int64_t kWholeExchangeBytes = 16 << 10;
/// What one rank reduces at a time: the window of an all-reduce is p times this.
inline constexpr std::int64_t kPieceBytes = 256 << 10;

Schedule all_reduce(Endpoint at, const std::byte* from, std::byte* to, std::int64_t count, DType type, ReduceKind kind);
Schedule reduce_scatter(Endpoint at, const std::byte* from, std::byte* to, std::int64_t count, DType type,
                        ReduceKind kind);
/// `bytes` from each rank.
Schedule all_gather(Endpoint at, const std::byte* from, std::byte* to, std::int64_t bytes);
Schedule all_to_all(Endpoint at, const std::byte* from, std::byte* to, std::int64_t bytes);
/// Down a binomial tree, piece by piece.
Schedule broadcast(Endpoint at, std::byte* data, std::int64_t bytes, int root);
Schedule send(Endpoint at, const std::byte* data, std::int64_t bytes, int to);
Schedule receive(Endpoint at, std::byte* data, std::int64_t bytes, int from);

}  // namespace weft
