#!/usr/bin/env python3
"""Writes fixtures.json: what PyTorch reports, step by step, when it trains the networks of the parity tests.

    python3 -m venv .venv && .venv/bin/pip install torch==2.15.0 torchvision==0.29.2 transformers==5.23.0 numpy onnx
    .venv/bin/python make_fixtures.py fixtures.json build/release/weft  # the committed file was made so, on x86-64, in f32
    .venv/bin/python make_fixtures.py fixtures.json build/release/weft lenet  # that case only, the others are kept

Samples come from a formula of (name, index) that formula.hpp states again, so that neither side has to read the
other's: `values` below. Weights are those that `weft model` writes, read from its file, or, in the cases with
"weights": "formula", from the formula too. Every case holds the settings of `weft model`, the job's keys as Weft reads them, and
what PyTorch measured with PyTorch's own optimisers and losses: the loss of each step before its update, the learning
rate, and the loss over the evaluation samples after the last step, in evaluation mode. `spread` is the largest
relative distance to the same run in f64: how much of a difference is rounding. `bf16` holds the same figures under
PyTorch's automatic mixed precision (torch.autocast, f32 weights), for the models that have a test of it. `moved` is
how far training moved the losses from those of the untrained network: what a distance has to be compared with.
"""
import json
import math
import subprocess
import sys
import tempfile

import networks
import numpy as np
import onnx.numpy_helper
import torch
import torch.nn as nn
import torch.nn.functional as F

STEPS = 20


def values(name, count):
    """Integers of 24 bits: SplitMix64's output function over the FNV-1a hash of the name plus a Weyl sequence."""
    key = 0xCBF29CE484222325
    for byte in name.encode():
        key = (key ^ byte) * 0x100000001B3 % 2**64
    with np.errstate(over="ignore"):
        z = np.uint64(key) + (np.arange(count, dtype=np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return (z ^ (z >> np.uint64(31))) >> np.uint64(40)


def uniform(name, shape, low, high):
    unit = values(name, math.prod(shape)).astype(np.float64) / 2**24
    return torch.from_numpy((low + (high - low) * unit).astype(np.float32).reshape(shape))


def below(name, shape, limit):
    return torch.from_numpy((values(name, math.prod(shape)) % np.uint64(limit)).astype(np.int64).reshape(shape))


def initial(name, shape):
    """Weights: Kaiming's uniform bound. Scales of batch norms around 1, biases around 0, fresh running statistics.

    The last scale of a residual branch is small: at 1, ResNet-18 multiplies rounding by 1e4 within ten steps, and
    PyTorch's own f32 and f64 runs part by 1 %. Deeper stacks of batch norms multiply it more (fresh ResNet-50 and
    MobileNetV2 at a rate of 0.001: 10 % after 20 steps), for gradients grow from layer to layer: these train at rates
    at which that stays below the tolerance, and by the same growth still move.
    """
    if name.endswith("running_mean"):
        return torch.zeros(shape)
    if name.endswith("running_var"):
        return torch.ones(shape)
    if len(shape) >= 2:
        bound = math.sqrt(6 / math.prod(shape[1:]))
        return uniform(name, shape, -bound, bound)
    if name.endswith(("bn2.weight", "bn3.weight", "conv.3.weight")):
        return uniform(name, shape, 0.1, 0.3)
    return uniform(name, shape, 0.9, 1.1) if name.endswith("weight") else uniform(name, shape, -0.1, 0.1)


def samples(prefix, data):
    """Tokens begin at 1: BERT's 0 is padding, which PyTorch's embedding does not train."""
    n = data["samples" if prefix == "train" else "eval_samples"]
    if "tokens" in data:
        x = 1 + below(prefix + "/input", [n] + data["input"], data["tokens"] - 1)
    else:
        x = uniform(prefix + "/input", [n] + data["input"], -1, 1)
    if "classes" in data:
        y = below(prefix + "/labels", [n] + data.get("target", []), data["classes"])
    else:
        y = uniform(prefix + "/labels", [n] + data["target"], 0, 1)
    return x, y


def network(case, folder):
    """PyTorch's form of the model, with the weights of the case."""
    net = networks.build(case["model"], case["settings"])
    own = networks.states(case["model"], net)
    if case.get("weights") == "formula":
        given = {name: initial(name, list(value.shape)) for name, value in own.items()}
    else:
        options = [o for setting in case["settings"].items() for o in ("--set", "=".join(setting))]
        subprocess.run([sys.argv[2], "model", case["model"], "-o", f"{folder}/m.onnx", *options], check=True,
                       stdout=subprocess.DEVNULL)
        given = {t.name: torch.from_numpy(onnx.numpy_helper.to_array(t).copy())
                 for t in onnx.load(f"{folder}/m.onnx").graph.initializer}
    networks.states(case["model"], net, given)
    return net


def optimizer(job, parameters):
    o = dict(job["optimizer"])
    kind = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW,
            "rmsprop": torch.optim.RMSprop, "adagrad": torch.optim.Adagrad}[o.pop("name")]
    o.pop("clip_norm", None)
    return kind(parameters, **o)


def schedule(job, opt, steps_per_epoch):
    s = dict(job.get("schedule", {"name": "constant"}))
    warmup = s.get("warmup", 0)
    warm = round(warmup * STEPS) if warmup < 1 else warmup
    left, final = STEPS - warm, s.get("final_factor", 0)
    sched = torch.optim.lr_scheduler
    after = {"constant": lambda: sched.ConstantLR(opt, 1.0),
             "linear": lambda: sched.LinearLR(opt, 1.0, final, left),
             "cosine": lambda: sched.CosineAnnealingLR(opt, left, final * opt.param_groups[0]["lr"]),
             "step": lambda: sched.StepLR(opt, s["step_size"], s["gamma"]),
             "exponential": lambda: sched.ExponentialLR(opt, s["gamma"] ** (1 / steps_per_epoch)),
             "polynomial": lambda: sched.PolynomialLR(opt, left, s.get("power", 1))}[s["name"]]
    if not warm:
        return after()
    rise = sched.LinearLR(opt, 1 / warm, 1.0, warm - 1) if warm > 1 else sched.ConstantLR(opt, 1.0)
    return sched.SequentialLR(opt, [rise, after()], [warm])


def classes_second(logits, labels):
    """Where PyTorch looks for classes: [N, C, ...] of [N, ..., C]. An image's are there already."""
    return logits.movedim(-1, 1) if logits.shape[1:-1] == labels.shape[1:] else logits


def loss_of(job):
    spec = job["loss"]
    kind = spec if isinstance(spec, str) else spec["name"]
    return {"cross_entropy": lambda p, y: F.cross_entropy(classes_second(p, y), y, label_smoothing=0 if kind == spec else spec["label_smoothing"]),
            "mse": F.mse_loss, "l1": F.l1_loss,
            "huber": lambda p, y: F.huber_loss(p, y, delta=spec["delta"]),
            "bce_with_logits": F.binary_cross_entropy_with_logits}[kind]


def train(case, dtype, autocast=False):
    """Losses and learning rates of the steps, and the loss over the evaluation samples at the end."""
    job = case["job"]
    with tempfile.TemporaryDirectory() as folder:
        net = network(case, folder).to(dtype)
    mixed = lambda: torch.autocast("cpu", torch.bfloat16, enabled=autocast)
    real = lambda t: t.to(dtype) if t.is_floating_point() else t
    x, y = map(real, samples("train", case["data"]))
    batch = job["batch"]
    per_epoch = -(-len(x) // batch)
    opt = optimizer(job, net.parameters())
    sched, loss_fn = schedule(job, opt, per_epoch), loss_of(job)
    losses, rates = [], []
    for step in range(STEPS):
        first = step % per_epoch * batch
        opt.zero_grad()
        with mixed():
            loss = loss_fn(net(x[first:first + batch]), y[first:first + batch])
        loss.backward()
        if "clip_norm" in job["optimizer"]:
            nn.utils.clip_grad_norm_(net.parameters(), job["optimizer"]["clip_norm"])
        rates.append(opt.param_groups[0]["lr"])
        losses.append(float(loss.detach()))
        opt.step()
        sched.step()
    net.eval()
    with torch.no_grad(), mixed():
        x, y = map(real, samples("eval", case["data"]))
        return losses, rates, float(loss_fn(net(x), y))


def apart(losses, others):
    return max(abs(a - b) / abs(b) for a, b in zip(losses, others))


def untrained(case):
    """The case with a rate at which no loss moves."""
    return case | {"job": case["job"] | {"optimizer": case["job"]["optimizer"] | {"lr": 1e-30}}}


def classification(shape, classes, n, n_eval):
    return {"samples": n, "eval_samples": n_eval, "input": shape, "classes": classes}


def regression(n):
    return {"samples": n, "eval_samples": 12, "input": [12], "target": [5]}


def token_data(vocabulary, sequence, n, n_eval):
    return {"samples": n, "eval_samples": n_eval, "input": [sequence], "tokens": vocabulary, "classes": vocabulary,
            "target": [sequence]}


SGD = {"name": "sgd", "lr": 0.01, "momentum": 0.9}
ADAMW = {"name": "adamw", "lr": 0.001, "weight_decay": 0.01}
MLP = {"model": "mlp", "weights": "formula", "settings": {"inputs": "12", "hidden": "32,16", "classes": "5"}}
CASES = {
    # 80 samples: three batches of 24 and one of 8.
    "mlp": MLP | {"data": classification([12], 5, 80, 20), "job": {
        "loss": "cross_entropy", "batch": 24, "schedule": {"name": "cosine", "warmup": 5},
        "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 5e-4}}},
    "mlp adam": MLP | {"data": classification([12], 5, 80, 20), "job": {
        "loss": {"name": "cross_entropy", "label_smoothing": 0.1}, "batch": 24,
        "schedule": {"name": "linear", "final_factor": 0.1},
        "optimizer": {"name": "adam", "lr": 0.01, "weight_decay": 1e-3, "clip_norm": 0.5}}},
    "mlp rmsprop": MLP | {"data": regression(60), "job": {
        "loss": {"name": "huber", "delta": 0.5}, "batch": 20, "schedule": {"name": "step", "step_size": 8, "gamma": 0.3},
        "optimizer": {"name": "rmsprop", "lr": 0.002, "momentum": 0.5, "centered": True, "alpha": 0.9}}},
    "mlp adagrad": MLP | {"data": regression(60), "job": {
        "loss": "bce_with_logits", "batch": 20, "schedule": {"name": "polynomial", "power": 2.0, "warmup": 2},
        "optimizer": {"name": "adagrad", "lr": 0.05, "lr_decay": 0.01, "weight_decay": 1e-3}}},
    "lenet": {"model": "lenet", "weights": "formula", "settings": {}, "data": classification([1, 28, 28], 10, 48, 16), "job": {
        "loss": "cross_entropy", "batch": 16, "schedule": {"name": "exponential", "gamma": 0.8},
        "optimizer": {"name": "adamw", "lr": 0.001, "weight_decay": 0.05}}},
    "resnet18": {"model": "resnet18", "weights": "formula", "settings": {"image": "32", "classes": "10"},
                 "data": classification([3, 32, 32], 10, 160, 8), "job": {
        "loss": "cross_entropy", "batch": 8, "schedule": {"name": "cosine", "warmup": 0.25},
        "optimizer": {"name": "sgd", "lr": 0.002, "momentum": 0.9, "weight_decay": 5e-4}}},
    "resnet50": {"model": "resnet50", "weights": "formula", "settings": {"image": "64", "classes": "10", "width": "8"},
                 "data": classification([3, 64, 64], 10, 32, 8), "job": {
        "loss": "cross_entropy", "batch": 16, "optimizer": SGD | {"lr": 5e-5}}},
    "mobilenet_v2": {"model": "mobilenet_v2", "weights": "formula",
                     "settings": {"image": "64", "classes": "10", "width": "0.25", "dropout": "0"},
                     "data": classification([3, 64, 64], 10, 32, 8), "job": {
        "loss": "cross_entropy", "batch": 16, "optimizer": SGD | {"lr": 1e-6}}},
    # For 16 bits: batches of 16 double what rounding does to MobileNetV2, and a rate of 0.001 what it does to LeNet, from step
    # to step. With these, PyTorch's own 16 bits are within the tolerance of its f64.
    "lenet slowly": {"model": "lenet", "weights": "formula", "settings": {}, "data": classification([1, 28, 28], 10, 48, 16), "job": {
        "loss": "cross_entropy", "batch": 16, "optimizer": {"name": "adamw", "lr": 0.0001, "weight_decay": 0.05}}},
    "mobilenet_v2 in one batch": {"model": "mobilenet_v2", "weights": "formula",
                                  "settings": {"image": "64", "classes": "10", "width": "0.25", "dropout": "0"},
                                  "data": classification([3, 64, 64], 10, 32, 8), "job": {
        "loss": "cross_entropy", "batch": 32, "optimizer": SGD | {"lr": 1e-6}}},
    "unet": {"model": "unet", "settings": {"image": "32", "widths": "4,8,16", "classes": "3"},
             "data": classification([3, 32, 32], 3, 12, 4) | {"target": [32, 32]}, "job": {
        "loss": "cross_entropy", "batch": 4, "optimizer": SGD}},
    "lstm": {"model": "lstm", "settings": {"vocabulary": "50", "sequence": "12", "width": "24"},
             "data": token_data(50, 12, 24, 8), "job": {
        "loss": "cross_entropy", "batch": 8, "optimizer": SGD | {"lr": 0.5}}},
    "bert": {"model": "bert", "settings": {"vocabulary": "50", "sequence": "12", "positions": "16", "width": "24",
                                           "layers": "2", "heads": "3", "intermediate": "48"},
             "data": token_data(50, 12, 24, 8), "job": {"loss": "cross_entropy", "batch": 8, "optimizer": ADAMW}},
    "gpt2": {"model": "gpt2", "settings": {"vocabulary": "50", "sequence": "12", "positions": "16", "width": "24",
                                           "layers": "2", "heads": "3"},
             "data": token_data(50, 12, 24, 8), "job": {"loss": "cross_entropy", "batch": 8, "optimizer": ADAMW}},
    "vit": {"model": "vit", "settings": {"image": "32", "patch": "8", "classes": "10", "width": "24", "layers": "2",
                                         "heads": "3", "mlp": "48"},
            "data": classification([3, 32, 32], 10, 24, 8), "job": {
        "loss": "cross_entropy", "batch": 8, "optimizer": ADAMW}},
}


def main():
    torch.set_num_threads(1)
    only, cases = sys.argv[3:], {}
    if only:
        with open(sys.argv[1]) as f:
            cases = json.load(f)["cases"]
    for name, case in CASES.items():
        if only and name not in only:
            continue
        losses, rates, evaluation = train(case, torch.float32)
        exact, _, exact_evaluation = train(case, torch.float64)
        spread = apart(losses + [evaluation], exact + [exact_evaluation])
        moved = apart(losses, train(untrained(case), torch.float32)[0])
        print(f"{name}: {losses[0]:.6f} to {losses[-1]:.6f}, evaluation {evaluation:.6f}, moved {moved:.1e}, spread {spread:.1e}", flush=True)
        mixed = {}
        if not name.startswith("mlp"):
            mixed_losses, _, mixed_evaluation = train(case, torch.float32, autocast=True)
            mixed = {"bf16": {"loss": mixed_losses, "evaluation": mixed_evaluation}}
            print(f"    bf16: {mixed_losses[-1]:.6f}, evaluation {mixed_evaluation:.6f}, {apart(mixed_losses, exact):.1e} from f64", flush=True)
        cases[name] = case | {"loss": losses, "lr": rates, "evaluation": evaluation, "spread": spread, "moved": moved} | mixed
    cases = {name: cases[name] for name in CASES}
    with open(sys.argv[1], "w") as f:
        json.dump({"torch": torch.__version__.split("+")[0], "steps": STEPS, "cases": cases}, f, indent=1)
        f.write("\n")


if __name__ == "__main__":
    main()
