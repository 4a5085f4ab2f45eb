#!/usr/bin/env bash
# Folders of images, one a class: drawings of three shapes as PNG files, resized to 32 x 32 pixels on import.
#   examples/photos/prepare.sh [FOLDER]
# shellcheck source=examples/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../common.sh" photos "${1:-}"

python3 - <<'PYTHON'
import os, random, struct, zlib

def png(path, size, pixel):
    rows = b"".join(b"\0" + bytes(v for x in range(size) for v in pixel(x, y)) for y in range(size))
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0))
                   + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))

SHAPES = {
    "discs": lambda dx, dy, r: dx * dx + dy * dy < r * r,
    "squares": lambda dx, dy, r: max(abs(dx), abs(dy)) < 0.85 * r,
    "rings": lambda dx, dy, r: 0.4 * r * r < dx * dx + dy * dy < 1.2 * r * r,
}

def write(folder, seed, count):
    random.seed(seed)
    for name, inside in SHAPES.items():
        os.makedirs(f"{folder}/{name}", exist_ok=True)
        for i in range(count):
            back = [random.randrange(256) for _ in range(3)]
            fore = [(v + 128) % 256 for v in back]
            size = random.choice([36, 40, 48])
            cx, cy, r = (random.uniform(0.4, 0.6) * size, random.uniform(0.4, 0.6) * size, random.uniform(0.2, 0.35) * size)
            png(f"{folder}/{name}/{i:03}.png", size, lambda x, y: fore if inside(x - cx, y - cy, r) else back)

write("train", 1, 60)
write("test", 2, 20)
PYTHON

"$weft" data import train -o photos-train.h5 --size 32
"$weft" data import test -o photos-test.h5 --size 32
"$weft" model resnet18 -o resnet18.onnx --set classes=3 --set image=32 --set width=16
cp "$examples/photos/job.yaml" job.yaml
echo "ready: $weft train $PWD/job.yaml"
