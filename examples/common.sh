# shellcheck shell=bash
# What the examples' prepare.sh scripts share; sourced, not run: where weft is, and the folder to work in.
#
#   source common.sh NAME [FOLDER]    works in FOLDER, runs/examples/NAME of the repository by default
set -euo pipefail
examples=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export examples
weft=${WEFT:-$examples/../build/release/weft}
[[ -x $weft ]] || weft=$(command -v weft) || {
  echo "$1: there is no build/release/weft and no weft in PATH; run tests/run.sh, or set WEFT=/path/to/weft" >&2
  exit 3
}
weft=$(realpath "$weft")
folder=${2:-$examples/../runs/examples/$1}
mkdir -p "$folder"
cd "$folder"
