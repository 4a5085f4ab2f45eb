#!/usr/bin/env python3
"""Checks the built-in models, as `weft model` writes them, against PyTorch and ONNX Runtime.

Each model's initializers are loaded into PyTorch's own architecture by name (so names and shapes must match its state
dictionary), the outputs on random inputs are compared, and the file must satisfy ONNX's checker. Spreads of fresh
weights are compared with those that PyTorch draws.

    python3 -m venv .venv && .venv/bin/pip install torch torchvision transformers onnx onnxruntime
    .venv/bin/python tests/graph/models/check_models.py build/release/weft model
"""
import os
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import numpy_helper

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../parity"))
import networks


# Settings smaller than the default where that takes too long, and one sample of the input.
MODELS = {
    "mlp": ({}, (784,)),
    "lenet": ({}, (1, 28, 28)),
    "resnet18": ({}, (3, 224, 224)),
    "resnet50": ({}, (3, 224, 224)),
    "mobilenet_v2": ({}, (3, 224, 224)),
    "unet": ({}, (3, 128, 128)),
    "lstm": ({}, (64,)),
    "bert": ({"layers": "3"}, (128,)),
    "gpt2": ({"layers": "3"}, (128,)),
    "vit": ({"layers": "3"}, (3, 224, 224)),
}


def check(name, path, settings, sample):
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    net = networks.build(name, settings).eval()
    own = {t.name: torch.from_numpy(numpy_helper.to_array(t).copy()) for t in model.graph.initializer}
    reference = {k: v.clone() for k, v in networks.states(name, net).items()}
    given = networks.states(name, net, own)
    for key, value in given.items():  # the same distribution: spread within a few per cent
        spread = reference[key].double().std().item() if value.numel() >= 2000 else 0
        if spread > 0:
            assert abs(value.double().std().item() / spread - 1) < 0.08, (key, value.std(), spread)
    worst = 0
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    integers = session.get_inputs()[0].type == "tensor(int64)"
    for batch in (1, 3):
        draw = torch.Generator().manual_seed(batch)
        x = torch.randint(0, 1000, (batch, *sample), generator=draw) if integers else torch.randn(batch, *sample, generator=draw)
        with torch.no_grad():
            want = net(x).numpy()
        got = session.run(["output"], {"input": x.numpy()})[0]
        worst = max(worst, float(np.abs(got - want).max() / max(np.abs(want).max(), 1e-30)))
    assert worst < 1e-4, worst
    print(f"{name}: {len(own)} initializers, outputs agree within {worst:.1e}", flush=True)


with tempfile.TemporaryDirectory() as folder:
    for model_name, (given_settings, shape) in MODELS.items():
        file = f"{folder}/{model_name}.onnx"
        options = [o for item in given_settings.items() for o in ("--set", "=".join(item))]
        subprocess.run([*sys.argv[1:], model_name, "-o", file, *options], check=True)
        check(model_name, file, given_settings, shape)
