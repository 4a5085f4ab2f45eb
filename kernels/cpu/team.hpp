// on_team: one parallel region on the OpenMP team that oneDNN uses too.
//
// ThreadSanitizer does not see how libgomp starts and joins a team, for libgomp is not instrumented, and calls every
// value that is handed in or out a race. Where it watches, start and join are told to it, and the compiler's outlined
// function, whose captures are read before anything could be told, is replaced by our own.
#pragma once

#include <omp.h>

#include <cstdint>

#if defined(__SANITIZE_THREAD__)
extern "C" {
void GOMP_parallel(void (*)(void*), void*, unsigned, unsigned);  // what GCC makes of `omp parallel`
void __tsan_acquire(void*);                                      // NOLINT: the sanitizer's name
void __tsan_release(void*);                                      // NOLINT: the sanitizer's name
}
#endif

namespace weft::cpu {

/// Calls body(thread, team) on each of at most `threads` threads, and waits for them. `body` must not throw.
template <class Body>
void on_team(int threads, const Body& body) {
#if defined(__SANITIZE_THREAD__)
  struct Region {
    const Body* body;
    char joined;
  } region{&body, 0};
  __tsan_release(&region);
  GOMP_parallel(
      [](void* data) {
        auto* shared = static_cast<Region*>(data);
        __tsan_acquire(shared);
        (*shared->body)(std::int64_t{omp_get_thread_num()}, std::int64_t{omp_get_num_threads()});
        __tsan_release(&shared->joined);
      },
      &region, static_cast<unsigned>(threads), 0);
  __tsan_acquire(&region.joined);
#else
#pragma omp parallel num_threads(threads)
  body(std::int64_t{omp_get_thread_num()}, std::int64_t{omp_get_num_threads()});
#endif
}

}  // namespace weft::cpu
