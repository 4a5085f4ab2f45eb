#!/usr/bin/env bash
# A thousand (or as many as the second argument says) sequences of collectives on 2, 3 and 4 ranks, of which one rank does
# something else than the others: every rank must name it, and nothing may hang.
#   tests/comm/mpi/mismatches.sh [BUILD_FOLDER [TIMES]]
set -eu
build=${1:-$(dirname "$0")/../../../build/release}
WEFT_MISMATCHES=${2:-1000} "$build/tests/test_mpi_mismatches"
