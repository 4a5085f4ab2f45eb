"""Trains a few steps and runs the exported model.onnx in ONNX Runtime and in `weft predict`: outputs agree.

    check_onnxruntime.py build/release/weft      (exits 77, skipped, where ONNX Runtime is missing)
"""
import json
import os
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import onnxruntime
except ImportError:
    print("ONNX Runtime and NumPy are not installed for", sys.executable, "(set WEFT_PYTHON to one that has them)")
    sys.exit(77)

CASES = {"lenet": ([], (1, 28, 28)), "resnet18": (["--set", "image=64", "--set", "classes=10"], (3, 64, 64))}
SAMPLES, TOLERANCE = 24, 1e-4


def check(weft, model, settings, sample, folder):
    call = lambda *arguments: subprocess.run([weft, *arguments], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    draw = np.random.default_rng(1)
    images = draw.standard_normal((SAMPLES, *sample), dtype=np.float32)
    np.savez(os.path.join(folder, "data.npz"), input=images, labels=draw.integers(0, 10, SAMPLES))
    np.savez(os.path.join(folder, "images.npz"), input=images)
    call("model", model, "-o", "fresh.onnx", *settings)
    call("data", "import", "data.npz", "-o", "data.h5")
    job = {"name": "run", "model": "fresh.onnx", "data": {"train": "data.h5"}, "batch": 8, "steps": 9,
           "optimizer": {"name": "sgd", "lr": 0.02, "momentum": 0.9}}
    with open(os.path.join(folder, "job.yaml"), "w") as f:
        json.dump(job, f)
    call("train", "job.yaml", "--quiet")
    call("predict", "runs/run/model.onnx", "--input", "images.npz", "--output", "outputs.npz", "--quiet")
    ours = np.load(os.path.join(folder, "outputs.npz"))["output"]

    def in_runtime(file):
        return onnxruntime.InferenceSession(os.path.join(folder, file)).run(["output"], {"input": images})[0]

    theirs, before = in_runtime("runs/run/model.onnx"), in_runtime("fresh.onnx")
    distance = np.abs(ours - theirs).max() / max(1.0, np.abs(theirs).max())
    moved = np.abs(theirs - before).max()
    print(f"{model}: largest difference {distance:.1e}; training moved the outputs by {moved:.2f}")
    assert ours.shape == theirs.shape and distance < TOLERANCE, (ours.shape, theirs.shape, distance)
    assert moved > 100 * TOLERANCE, "the exported weights are the fresh ones"


for name, (arguments, shape) in CASES.items():
    with tempfile.TemporaryDirectory() as work:
        check(os.path.abspath(sys.argv[1]), name, arguments, shape, work)
print("ONNX Runtime", onnxruntime.__version__, "agrees")
