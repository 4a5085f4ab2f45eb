#!/usr/bin/env bash
# kill -9 of one of two ranks at 20 random moments (or as many as the second argument says), four out of five of them
# while a checkpoint is written beside the steps: the job ends everywhere, says who, where and in what, and goes on to
# the same bits as a run that nobody disturbed.
#   tests/faults/kill_nine.sh [BUILD_FOLDER [TIMES]]
set -eu
build=${1:-$(dirname "$0")/../../build/release}
WEFT_KILLS=${2:-20} "$build/tests/test_lost_rank" --gtest_filter=LostRank.KilledAtARandomStep*
