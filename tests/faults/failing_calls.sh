#!/usr/bin/env bash
# Every write, flush and rename of a run's checkpoints fails once, one run for each, on one rank and on either of two: no
# good checkpoint is lost, and the next start goes on to the same bits.
#   tests/faults/failing_calls.sh [BUILD_FOLDER]
set -eu
build=${1:-$(dirname "$0")/../../build/release}
WEFT_CALLS_APART=1 "$build/tests/test_failing_calls"
