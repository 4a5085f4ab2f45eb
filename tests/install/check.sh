#!/usr/bin/env bash
# Installs a build to a folder of its own and builds and runs a program that trains through it: check.sh BUILD
set -euo pipefail
build=$1
sources=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/weft-install.XXXXXX")
trap 'rm -rf "$work"' EXIT

cmake --install "$build" --prefix "$work/prefix" >"$work/install.log" || { cat "$work/install.log"; exit 1; }
"$work/prefix/bin/weft" --version

# Nothing of the build tree or the source tree may be needed by what was installed.
if grep --recursive --fixed-strings "$(cd "$build/../.." && pwd)/" "$work/prefix/lib/cmake" --include='*.cmake'; then
  echo "the installed package names the source tree" >&2
  exit 1
fi
cmake -G Ninja -S "$sources/consumer" -B "$work/consumer" -DCMAKE_PREFIX_PATH="$work/prefix" -DCMAKE_BUILD_TYPE=Debug >/dev/null
cmake --build "$work/consumer"
cd "$work"
"$work/consumer/consumer"
