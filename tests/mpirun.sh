#!/usr/bin/env bash
# Runs a test program on N MPI ranks of this machine: mpirun.sh N PROGRAM [ARG...]
set -eu
ranks=$1
shift
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
exec mpirun --oversubscribe --bind-to none --quiet -n "$ranks" "$@"
