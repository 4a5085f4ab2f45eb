#!/usr/bin/env bash
# 10,000 random bits of a checkpoint (or as many as the second argument says), flipped one at a time: none may go
# unnoticed, for the commit record covers every byte of the file, itself included.
#   tests/faults/bit_flips.sh [BUILD_FOLDER [TIMES]]
set -eu
build=${1:-$(dirname "$0")/../../build/release}
WEFT_FLIPS=${2:-10000} "$build/tests/test_checkpoint" --gtest_filter=Damage.EveryFlippedBitIsNoticed
