#!/usr/bin/env bash
# A table (CSV): measurements of made-up flowers of three species, the last column the species' name.
#   examples/table/prepare.sh [FOLDER]
# shellcheck source=examples/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../common.sh" table "${1:-}"

# flowers SEED ROWS: petals differ between species, sepals hardly do.
flowers() {
  awk -v seed="$1" -v rows="$2" 'BEGIN {
    srand(seed)
    split("setosa versicolor virginica", species, " ")
    print "sepal length,sepal width,petal length,petal width,species"
    for (i = 0; i < rows; ++i) {
      k = i % 3
      noise = rand() + rand() + rand() - 1.5
      printf "%.2f,%.2f,%.2f,%.2f,%s\n", 5 + 0.6 * k + noise, 3 + 0.5 * rand(),
             1.5 + 2.2 * k + 0.5 * noise, 0.2 + 0.9 * k + 0.3 * rand(), species[k + 1]
    }
  }'
}
flowers 1 1200 >train.csv
flowers 2 300 >test.csv

"$weft" data import train.csv -o table-train.h5 --target species
"$weft" data import test.csv -o table-test.h5 --target species
"$weft" model mlp -o mlp.onnx --set inputs=4 --set hidden=32,32 --set classes=3
cp "$examples/table/job.yaml" job.yaml
echo "ready: $weft train $PWD/job.yaml"
