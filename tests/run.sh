#!/usr/bin/env bash
# Set-up, build and all tests, from anywhere: tests/run.sh [--preset NAME] [CTEST OPTION...]
#
#   tests/run.sh                      release build, every test
#   tests/run.sh --preset asan        under the address and undefined-behaviour sanitizers (or: debug, tsan)
#   tests/run.sh -R checkpoint        only tests whose name matches; any other option of ctest works too
#
# Exits with ctest's code; its summary is the last thing printed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

preset=release
arguments=()
while (($# > 0)); do
  case "$1" in
    --preset)
      preset=${2:?"--preset needs a name: release, debug, asan or tsan"}
      shift 2
      ;;
    --preset=*)
      preset=${1#*=}
      shift
      ;;
    -h | --help)
      sed -n '2,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
      exit 0
      ;;
    *)
      arguments+=("$1")
      shift
      ;;
  esac
done

jobs=${WEFT_JOBS:-$(nproc)}
./setup.sh </dev/null
cmake --preset "$preset"
cmake --build --preset "$preset" --parallel "$jobs"
exec ctest --test-dir "build/$preset" --output-on-failure --parallel "$jobs" "${arguments[@]}"
