#!/usr/bin/env bash
# 2,000 random pairs of meshes of up to 8 ranks (or as many as the second argument says): states saved by the one and
# loaded by the other, bit for bit, and the same file from both.
#   tests/faults/reshard_long.sh [BUILD_FOLDER [TIMES]]
set -eu
build=${1:-$(dirname "$0")/../../build/release}
WEFT_DRAWS=${2:-2000} "$build/tests/test_checkpoint" --gtest_filter=Resharding.AnyMesh*
