// How the threads of a kernel wait for the next one: awake for a moment, then asleep; asleep at once where they are
// more than the cores.
//
// GCC's OpenMP library keeps threads that wait at a barrier spinning for milliseconds. That is fine while every thread
// has a core for itself; where ranks, other jobs or a batch system's limits leave fewer cores than threads, each
// barrier then costs time slices, and small steps take a hundred times as long. The library reads its settings before
// `main` begins, and has no call to change them.
#pragma once

namespace weft::cli {

/// Starts this executable anew, once, with another wait in its environment: OMP_WAIT_POLICY=passive where the ranks of
/// this node have more threads than cores, else a bounded GOMP_SPINCOUNT. Not where either is set: then the user has
/// chosen. Goes on as it is where that cannot be done. Call it before there are threads, open files or MPI. `arguments`
/// are main's. Throws UserError when a launcher's variables make no sense.
void choose_how_threads_wait(char** arguments);

}  // namespace weft::cli
