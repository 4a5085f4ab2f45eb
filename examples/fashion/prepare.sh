#!/usr/bin/env bash
# IDX files (MNIST's format): Fashion-MNIST from Debian's package dataset-fashion-mnist, as training data.
#   examples/fashion/prepare.sh [FOLDER]
# shellcheck source=examples/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../common.sh" fashion "${1:-}"
source=/usr/share/datasets/fashion-mnist
[[ -r $source/train-images-idx3-ubyte.gz ]] || {
  echo "fashion: no data in $source; install Debian's package dataset-fashion-mnist" >&2
  exit 3
}

classes="T-shirt,Trouser,Pullover,Dress,Coat,Sandal,Shirt,Sneaker,Bag,Ankle boot"
# The labels are found beside the images.
"$weft" data import "$source/train-images-idx3-ubyte.gz" -o fashion-train.h5 --classes "$classes"
"$weft" data import "$source/t10k-images-idx3-ubyte.gz" -o fashion-test.h5 --classes "$classes"
"$weft" model lenet -o lenet.onnx
cp "$examples/fashion/job.yaml" job.yaml
echo "ready: $weft train $PWD/job.yaml"
