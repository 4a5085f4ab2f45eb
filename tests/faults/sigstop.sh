#!/usr/bin/env bash
# SIGSTOP of one of two ranks at 100 random steps (or as many as the second argument says), for less than the timeout and
# for good: the run goes on to the same bits, or ends within the timeout and ten seconds, and names the rank.
#   tests/faults/sigstop.sh [BUILD_FOLDER [TIMES]]
set -eu
build=${1:-$(dirname "$0")/../../build/release}
WEFT_STOPS=${2:-100} "$build/tests/test_lost_rank" --gtest_filter=LostRank.StoppedForAWhile*
