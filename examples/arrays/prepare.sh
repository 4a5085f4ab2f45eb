#!/usr/bin/env bash
# NumPy arrays (.npz): `features` and the numbers to predict from them, `targets`.
#   examples/arrays/prepare.sh [FOLDER]
# shellcheck source=examples/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../common.sh" arrays "${1:-}"

# With NumPy at hand: numpy.savez("train.npz", features=x, targets=y). This writes the same without it.
python3 - <<'PYTHON'
import math, random, struct, zipfile

def npy(rows):
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d), }" % (len(rows), len(rows[0]))
    header += " " * (-(len(header) + 11) % 64) + "\n"
    values = b"".join(struct.pack("<%df" % len(row), *row) for row in rows)
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + values

def write(path, seed, count):
    random.seed(seed)
    features = [[random.gauss(0, 1) for _ in range(8)] for _ in range(count)]
    targets = [[math.sin(x[0]) + 0.5 * x[1] * x[2] - 0.2 * x[3]] for x in features]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("features.npy", npy(features))
        archive.writestr("targets.npy", npy(targets))

write("train.npz", 1, 4096)
write("test.npz", 2, 512)
PYTHON

"$weft" data import train.npz -o arrays-train.h5
"$weft" data import test.npz -o arrays-test.h5
"$weft" model mlp -o mlp.onnx --set inputs=8 --set hidden=64,64 --set classes=1
cp "$examples/arrays/job.yaml" job.yaml
echo "ready: $weft train $PWD/job.yaml"
