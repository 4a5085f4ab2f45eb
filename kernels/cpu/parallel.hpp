// Parallel loops on the OpenMP team that oneDNN uses too, and the floating-point mode of its threads.
#pragma once

#include <omp.h>
#include <xmmintrin.h>

#include <algorithm>
#include <cstdint>

#include "kernels/cpu/team.hpp"

namespace weft::cpu {

/// Denormals flushed to zero on the calling thread while in scope: results and operands alike.
class FlushDenormals {
 public:
  FlushDenormals() : former_(_mm_getcsr()) { _mm_setcsr(former_ | 0x8040u); }
  ~FlushDenormals() { _mm_setcsr(former_); }
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;

 private:
  unsigned former_;
};

/// The same for good on the team's other threads, which run nothing but kernels: the library's regions use them too,
/// and results must not depend on which thread computed them.
inline void flush_denormals_on_worker(std::int64_t thread) {
  if (thread != 0) _mm_setcsr(_mm_getcsr() | 0x8040u);
}

/// The size of this thread's OpenMP teams while in scope, for our regions and the library's.
class TeamSize {
 public:
  explicit TeamSize(int threads) : former_(omp_get_max_threads()) {
    if (threads != former_) omp_set_num_threads(threads);
  }
  ~TeamSize() {
    if (omp_get_max_threads() != former_) omp_set_num_threads(former_);
  }
  TeamSize(const TeamSize&) = delete;
  TeamSize& operator=(const TeamSize&) = delete;

 private:
  int former_;
};

/// Elements below which waking the team costs more than it saves.
inline constexpr std::int64_t kSerialElements = 16384;

/// Calls f(thread, begin, end) with [0, count) cut into one run for each thread, rounded to `grain`. `f` must not
/// throw. One thread, or little `work` (elements touched): everything on the calling thread, in one call.
template <class F>
void parallel_ranges(int threads, std::int64_t count, std::int64_t grain, std::int64_t work, const F& f) {
  if (count <= 0) return;
  const std::int64_t grains = (count + grain - 1) / grain;
  if (threads <= 1 || grains <= 1 || work < kSerialElements) {
    f(0, std::int64_t{0}, count);
    return;
  }
  on_team(threads, [&](std::int64_t me, std::int64_t team) {
    flush_denormals_on_worker(me);
    const std::int64_t begin = std::min(count, grains * me / team * grain);
    const std::int64_t end = std::min(count, grains * (me + 1) / team * grain);
    if (begin < end) f(static_cast<int>(me), begin, end);
  });
}

}  // namespace weft::cpu
