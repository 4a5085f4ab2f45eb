#!/usr/bin/env bash
# Every example prepares its files, and its job is one that Weft accepts: examples_test.sh WEFT EXAMPLES
set -euo pipefail
export WEFT=$1
work=$(mktemp -d "${TMPDIR:-/tmp}/weft-examples.XXXXXX")
trap 'rm -rf "$work"' EXIT
count=0
for prepare in "$2"/*/prepare.sh; do
  name=$(basename "$(dirname "$prepare")")
  if [[ $name == fashion && ! -d /usr/share/datasets/fashion-mnist ]]; then continue; fi
  "$prepare" "$work/$name" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
  for data in "$work/$name"/*.h5; do "$WEFT" inspect "$data" >/dev/null; done
  for model in "$work/$name"/*.onnx; do [[ ! -e $model ]] || "$WEFT" inspect "$model" >/dev/null; done
  if [[ -e "$2/$name/job.yaml" ]]; then "$WEFT" inspect "$work/$name/job.yaml" >/dev/null; fi
  count=$((count + 1))
done
((count > 0))
echo "$count examples are sound"
