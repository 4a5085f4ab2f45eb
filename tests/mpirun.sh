#!/usr/bin/env bash
# Runs a test program on N MPI ranks of this machine, or, where N is 0, without mpirun: mpirun.sh N PROGRAM [ARG...]
set -eu
ranks=$1
shift
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
# MPI's libraries have no frame pointers: only a slow unwinder finds that an allocation was theirs (support/lsan.supp).
if [[ -n "${ASAN_OPTIONS:-}" ]]; then export ASAN_OPTIONS="$ASAN_OPTIONS:fast_unwind_on_malloc=0"; fi
if ((ranks == 0)); then exec "$@"; fi
exec mpirun --oversubscribe --bind-to none --quiet -n "$ranks" "$@"
