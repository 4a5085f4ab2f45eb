#!/usr/bin/env python3
"""Convolutions of every kind beside PyTorch's: forward and both gradients, to find the shapes where speed falls off a cliff.

    bench_convolutions.py --python .venv/bin/python --bench build/release/bench/bench_convolutions
    bench_convolutions.py … --only depthwise 3-d --json convolutions.json

Both sides run alone, with layouts of their own choice (PyTorch: the faster of row-major and channels-last), on operands
that lie so already; milliseconds are of the fastest run. `ratio` is PyTorch's time over Weft's: above 1, Weft is faster.
A transposed convolution is a convolution's gradient to its input: its forward pass stands in the column `data`.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

from weft_runs import pinned

HERE = os.path.dirname(os.path.abspath(__file__))


def case(name, x, w, stride=1, pad=0, dilation=1, groups=1):
    spatial = len(x) - 2
    return {"name": name, "input": x, "filter": w, "strides": [stride] * spatial,
            "pads": pad if isinstance(pad, list) else [pad] * spatial, "dilations": [dilation] * spatial,
            "groups": groups}


CASES = [
    case("3x3 64, 56", [8, 64, 56, 56], [64, 64, 3, 3], pad=1),
    case("3x3 512, 7", [8, 512, 7, 7], [512, 512, 3, 3], pad=1),
    case("3x3 stride 2", [8, 128, 56, 56], [128, 128, 3, 3], 2, 1),
    case("first 7x7 of 3 channels", [8, 3, 224, 224], [64, 3, 7, 7], 2, 3),
    case("first 3x3 of 3 channels", [8, 3, 224, 224], [32, 3, 3, 3], 2, 1),
    case("first 11x11 stride 4", [8, 3, 224, 224], [64, 3, 11, 11], 4, 2),
    case("3x3 of 1 channel", [64, 1, 28, 28], [32, 1, 3, 3], pad=1),
    case("1x1 64 to 256", [8, 64, 56, 56], [256, 64, 1, 1]),
    case("1x1 256 to 64", [8, 256, 56, 56], [64, 256, 1, 1]),
    case("1x1 stride 2", [8, 256, 56, 56], [512, 256, 1, 1], 2),
    case("1x1 96 to 24", [8, 96, 56, 56], [24, 96, 1, 1]),
    case("1x1 24 to 144", [8, 24, 56, 56], [144, 24, 1, 1]),
    case("1x1 to 2 classes", [8, 32, 128, 128], [2, 32, 1, 1]),
    case("depthwise 144, 56", [8, 144, 56, 56], [144, 1, 3, 3], 1, 1, groups=144),
    case("depthwise 144 stride 2", [8, 144, 56, 56], [144, 1, 3, 3], 2, 1, groups=144),
    case("depthwise 960, 7", [8, 960, 7, 7], [960, 1, 3, 3], 1, 1, groups=960),
    case("depthwise 5x5 stride 2", [8, 120, 28, 28], [120, 1, 5, 5], 2, 2, groups=120),
    case("depthwise 7x7", [8, 96, 56, 56], [96, 1, 7, 7], 1, 3, groups=96),
    case("depthwise 36 channels", [8, 36, 56, 56], [36, 1, 3, 3], 1, 1, groups=36),
    case("depthwise times 2", [8, 64, 28, 28], [128, 1, 3, 3], 1, 1, groups=64),
    case("32 groups of 4", [8, 128, 56, 56], [128, 4, 3, 3], 1, 1, groups=32),
    case("32 groups of 8", [8, 256, 28, 28], [256, 8, 3, 3], 1, 1, groups=32),
    case("32 groups of 16", [8, 512, 14, 14], [512, 16, 3, 3], 1, 1, groups=32),
    case("2 groups of 96", [8, 192, 27, 27], [256, 96, 5, 5], 1, 2, groups=2),
    case("3 groups of 20", [8, 60, 28, 28], [60, 20, 3, 3], 1, 1, groups=3),
    case("dilated by 2", [8, 256, 28, 28], [256, 256, 3, 3], 1, 2, 2),
    case("dilated by 6", [4, 256, 28, 28], [256, 256, 3, 3], 1, 6, 6),
    case("transposed 2x2 by 2", [8, 128, 32, 32], [256, 128, 2, 2], 2),
    case("transposed 4x4 by 2", [8, 128, 32, 32], [256, 128, 4, 4], 2, 1),
    case("1-d, 64, 3", [8, 64, 4096], [64, 64, 3], 1, 1),
    case("1-d, 64, 3 dilated by 8", [8, 64, 4096], [64, 64, 3], 1, 8, 8),
    case("1-d, 1 to 64, 80 by 4", [8, 1, 16000], [64, 1, 80], 4, 0),
    case("1-d depthwise, 31", [8, 256, 1024], [256, 1, 31], 1, 15, groups=256),
    case("3-d, 32, 3x3x3", [2, 32, 16, 56, 56], [32, 32, 3, 3, 3], 1, 1),
    case("3-d, first of 1 channel", [2, 1, 32, 64, 64], [32, 1, 3, 3, 3], 1, 1),
    case("3-d, 64, 1x1x1", [2, 64, 16, 28, 28], [128, 64, 1, 1, 1]),
    case("3-d depthwise", [2, 64, 16, 28, 28], [64, 1, 3, 3, 3], 1, 1, groups=64),
    case("17 to 19 channels", [8, 17, 56, 56], [19, 17, 3, 3], 1, 1),
]

TORCH = r"""
import json, sys, time, torch
torch.manual_seed(0)
def best(run):
    run()
    fastest, begin = 1e9, time.perf_counter()
    while True:
        start = time.perf_counter(); run(); now = time.perf_counter()
        fastest = min(fastest, now - start)
        if now - begin > 0.1: return 1e3 * fastest
out = []
for c in json.load(open(sys.argv[1])):
    line = {"name": c["name"]}
    for last in (False, True):
        if last and len(c["input"]) == 3: continue
        form = torch.contiguous_format if not last else torch.channels_last if len(c["input"]) == 4 else torch.channels_last_3d
        x, w = (torch.randn(c[k]).to(memory_format=form) for k in ("input", "filter"))
        n = len(c["strides"])
        args = (c["strides"], c["pads"], c["dilations"], False, [0] * n, c["groups"])
        forward = lambda: torch.ops.aten.convolution(x, w, None, *args)
        with torch.no_grad():
            dy = torch.randn_like(forward())
            back = lambda mask: torch.ops.aten.convolution_backward(dy, x, w, None, *args, mask)
            for name, run in (("forward", forward), ("data", lambda: back([True, False, False])),
                              ("filter", lambda: back([False, True, False]))):
                ms = best(run)
                if name not in line or ms < line[name]: line[name] = ms
    out.append(line)
print(json.dumps(out))
"""


def run_json(command, threads):
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "GOMP_SPINCOUNT": "10000"}
    run = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True)
    if run.returncode:
        sys.exit(f"{' '.join(command)}: ended with {run.returncode}")
    return json.loads(run.stdout)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--python", required=True, help="a Python that has torch")
    p.add_argument("--bench", default=os.path.join(HERE, "..", "..", "build", "release", "bench", "bench_convolutions"))
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--cores", default="0,1", help="cores that both are pinned to; '' for none")
    p.add_argument("--only", nargs="+", default=[], help="cases whose names contain one of these")
    p.add_argument("--json", help="write the figures here")
    a = p.parse_args()
    chosen = [c for c in CASES if not a.only or any(word in c["name"] for word in a.only)]
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "cases.json")
        with open(path, "w") as f:
            json.dump(chosen, f)
        with open(os.path.join(folder, "peer.py"), "w") as f:
            f.write(TORCH)
        weft = run_json(pinned(a.cores, [os.path.abspath(a.bench), path]), a.threads)
        torch = run_json(pinned(a.cores, [a.python, f.name, path]), a.threads)
    print(f"{'milliseconds: Weft / PyTorch = ratio':28} {'forward':>26} {'data':>26} {'filter':>26}")
    for w, t in zip(weft, torch):
        cells = [f"{w[d]['ms']:8.2f} /{t[d]:8.2f} = {t[d] / w[d]['ms']:5.2f}{'' if 'onednn' in w[d]['kernel'] else '*'}"
                 for d in ("forward", "data", "filter")]
        print(f"{w['name']:28} " + " ".join(f"{c:>26}" for c in cells))
    print("* not the library's kernel")
    if a.json:
        with open(a.json, "w") as f:
            json.dump([{"name": w["name"], "weft": w, "pytorch": t} for w, t in zip(weft, torch)], f, indent=1)


if __name__ == "__main__":
    main()
