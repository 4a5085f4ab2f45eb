#!/usr/bin/env bash
# Every example job is one that Weft accepts: examples_test.sh WEFT EXAMPLES
set -euo pipefail
count=0
for job in "$2"/*/job.yaml; do
  "$1" job "$job" >/dev/null
  count=$((count + 1))
done
((count > 0))
echo "$count example jobs are sound"
