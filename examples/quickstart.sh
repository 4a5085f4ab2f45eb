#!/usr/bin/env bash
# From a bare clone to a trained network: set-up, build, data, model, training on MPI ranks, evaluation, predictions,
# export. Everything it makes is in runs/quickstart.
#
#   examples/quickstart.sh [--ranks N]     N ranks of this machine, 2 by default
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

ranks=2
while (($# > 0)); do
  case "$1" in
    --ranks)
      ranks=${2:?"--ranks needs a number"}
      shift 2
      ;;
    -h | --help)
      sed -n '2,5s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
      exit 0
      ;;
    *)
      echo "quickstart: unknown option '$1'; there is --ranks and --help" >&2
      exit 2
      ;;
  esac
done
[[ "$ranks" =~ ^[1-9][0-9]{0,3}$ ]] || { echo "quickstart: --ranks takes a number from 1, not '$ranks'" >&2; exit 2; }

step() { printf '\n== %s\n' "$*"; }
source=/usr/share/datasets/fashion-mnist
work=$PWD/runs/quickstart
weft=$PWD/build/release/weft
start=$SECONDS

step "1/7 packages"
./setup.sh </dev/null
[[ -r $source/train-images-idx3-ubyte.gz ]] || {
  echo "quickstart: no data in $source; install Debian's package dataset-fashion-mnist" >&2
  exit 3
}

step "2/7 build"
cmake --preset release -DWEFT_BUILD_BENCHMARKS=OFF >/dev/null
cmake --build --preset release --target weft --parallel "$(nproc)"

step "3/7 data and model"
mkdir -p "$work"
cp examples/fashion/job.yaml "$work/job.yaml"
cd "$work"
"$weft" data import "$source/train-images-idx3-ubyte.gz" -o fashion-train.h5
"$weft" data import "$source/t10k-images-idx3-ubyte.gz" -o fashion-test.h5
"$weft" model lenet -o lenet.onnx

step "4/7 training on $ranks ranks"
# Containers run as root and have few cores; neither matters on one machine.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
mpirun --oversubscribe --bind-to none -n "$ranks" "$weft" train job.yaml

step "5/7 evaluation"
evaluation=$("$weft" eval job.yaml)
echo "$evaluation"
accuracy=$(sed -n 's/^ *accuracy *//p' <<<"$evaluation")

step "6/7 predictions"
"$weft" predict runs/fashion/model.onnx --input fashion-test.h5 --output predictions.h5

step "7/7 export"
"$weft" export runs/fashion -o trained.onnx

cat <<TEXT

Test accuracy $accuracy on 10,000 images, in $((SECONDS - start)) s all in all. In $work:
  trained.onnx       the trained model, for any ONNX runtime
  predictions.h5     its outputs for the 10,000 test images
  runs/fashion       log.jsonl, TensorBoard events, checkpoints, model.onnx

What next:
  $weft job --schema                           every setting of a job
  $weft train job.yaml --set optimizer.lr=0.02 --set name=slower    another run
  $weft inspect trained.onnx                   what is in the model
  $weft compile job.yaml --explain             the programs that the job becomes, and who computes what
TEXT
