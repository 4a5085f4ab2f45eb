#!/usr/bin/env python3
"""Checks the built-in models, as `weft model` writes them, against PyTorch and ONNX Runtime.

Each model's initializers are loaded into PyTorch's own architecture by name (so names and shapes must match its state
dictionary), the outputs on random inputs are compared, and the file must satisfy ONNX's checker.

    python3 -m venv .venv && .venv/bin/pip install torch torchvision onnx onnxruntime
    .venv/bin/python tests/graph/models/check_models.py build/release/weft model
"""
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
import torch
import torch.nn as nn
import torch.nn.functional as F
import torchvision
from onnx import numpy_helper


class LeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.c1, self.c2 = nn.Conv2d(1, 32, 3, padding=1), nn.Conv2d(32, 64, 3, padding=1)
        self.f1, self.f2 = nn.Linear(64 * 7 * 7, 128), nn.Linear(128, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.c1(x)), 2)
        x = F.max_pool2d(F.relu(self.c2(x)), 2)
        return self.f2(F.relu(self.f1(x.flatten(1))))


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(784, 256), nn.Linear(256, 128), nn.Linear(128, 10)

    def forward(self, x):
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x.flatten(1))))))


MODELS = {
    "mlp": (Mlp, (784,)),
    "lenet": (LeNet, (1, 28, 28)),
    "resnet18": (torchvision.models.resnet18, (3, 224, 224)),
    "resnet50": (torchvision.models.resnet50, (3, 224, 224)),
}


def check(name, path):
    build, sample = MODELS[name]
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    net = build().eval()
    own = {t.name: torch.from_numpy(numpy_helper.to_array(t).copy()) for t in model.graph.initializer}
    reference = net.state_dict()
    missing = set(reference) - set(own) - {k for k in reference if k.endswith("num_batches_tracked")}
    assert not missing and not set(own) - set(reference), (missing, set(own) - set(reference))
    for key, value in own.items():  # the same distribution: spread within a few per cent
        if reference[key].dim() >= 2 and reference[key].numel() >= 2000:
            ratio = value.std().item() / reference[key].std().item()
            assert abs(ratio - 1) < 0.08, (key, ratio)
    net.load_state_dict(own, strict=False)
    worst = 0
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for batch in (1, 3):
        x = torch.randn(batch, *sample, generator=torch.Generator().manual_seed(batch))
        with torch.no_grad():
            want = net(x).numpy()
        got = session.run(["output"], {"input": x.numpy()})[0]
        worst = max(worst, float(np.abs(got - want).max() / np.abs(want).max()))
    assert worst < 1e-4, worst
    print(f"{name}: {len(own)} initializers, outputs agree within {worst:.1e}")


with tempfile.TemporaryDirectory() as folder:
    for model_name in MODELS:
        file = f"{folder}/{model_name}.onnx"
        subprocess.run([*sys.argv[1:], model_name, "-o", file], check=True)
        check(model_name, file)
