#!/usr/bin/env python3
"""Writes what PyTorch's exporter makes of seven networks, with the losses that PyTorch itself reports when it trains them.

    python3 -m venv .venv && .venv/bin/pip install torch==2.15.0 torchvision==0.29.2 transformers==5.23.0 onnx==1.23.2
    .venv/bin/python make_exported.py .                      # writes NAME.onnx, NAME-optimized.onnx, expected.json
    .venv/bin/python make_exported.py --losses .             # writes expected.json only
    .venv/bin/python make_exported.py --check build/release/weft   # trains every export, prints the differences

The networks are ResNet-50, MobileNetV2, U-Net, an LSTM language model, GPT-2, BERT and ViT, of small width and few
layers; batch and sequence are dynamic. They stand as if trained already: no two biases are equal, as they are in a
fresh network, for the exporter's optimiser merges equal initializers. Samples come from the formula of
tests/parity/formula.hpp, as they do in the other parity tests. What the exporter notes at each node (stack traces,
source lines) is left out of the committed files, except for what Weft reads.

In bf16 (PyTorch's automatic mixed precision, f32 weights) the networks see the same three batches again and again, at
a higher rate, so that training moves their losses by several times the tolerance: expected.json says how far.

`--check` trains more than is committed: exports in training and in evaluation mode, with and without the exporter's
optimiser, of several opsets, on one rank and on two. Batch normalisation that was folded away is no such case: for it
Weft's warning is looked for.
"""
import argparse
import contextlib
import io
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import warnings

import numpy as np
import onnx
import torch
import torch.nn as nn
import torch.nn.functional as F

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "parity"))
from make_fixtures import uniform, values  # noqa: E402

warnings.filterwarnings("ignore")
STEPS, BATCH, TOKENS, VOCABULARY, CLASSES = 20, 8, 12, 40, 10
KEPT = {"pkg.torch.export.graph_signature.InputSpec.kind", "pkg.onnxscript.optimizer.folded_from",
        "pkg.onnxscript.rewriter.rule_name", "pkg.torch.export.ExportedProgram.graph_signature"}


def resnet50():
    from torchvision.models.resnet import Bottleneck, ResNet

    class Narrow(ResNet):
        """ResNet-50's blocks, one or two of each kind, a sixteenth as wide."""

        def __init__(self):
            nn.Module.__init__(self)
            self._norm_layer, self.inplanes, self.dilation, self.groups, self.base_width = nn.BatchNorm2d, 4, 1, 1, 64
            self.conv1, self.bn1 = nn.Conv2d(3, 4, 7, 2, 3, bias=False), nn.BatchNorm2d(4)
            self.relu, self.maxpool = nn.ReLU(True), nn.MaxPool2d(3, 2, 1)
            for i, (planes, blocks) in enumerate([(2, 2), (4, 1), (8, 1), (16, 1)]):
                setattr(self, f"layer{i + 1}", self._make_layer(Bottleneck, planes, blocks, 1 if i == 0 else 2))
            self.avgpool, self.fc = nn.AdaptiveAvgPool2d((1, 1)), nn.Linear(64, CLASSES)

    return Narrow()


def mobilenet_v2():
    from torchvision.models import MobileNetV2
    from torchvision.ops.misc import Conv2dNormActivation
    net = MobileNetV2(CLASSES, 0.25, [[1, 16, 1, 1], [6, 24, 2, 2], [6, 32, 1, 2]], dropout=0)
    net.features[-1] = Conv2dNormActivation(8, 32, kernel_size=1, activation_layer=nn.ReLU6)
    net.classifier[1] = nn.Linear(32, CLASSES)
    return net


class UNet(nn.Module):
    def __init__(self, w=(4, 8, 8, 16)):
        super().__init__()

        def double(i, o):
            return nn.Sequential(nn.Conv2d(i, o, 3, padding=1, bias=False), nn.BatchNorm2d(o), nn.ReLU(),
                                 nn.Conv2d(o, o, 3, padding=1, bias=False), nn.BatchNorm2d(o), nn.ReLU())
        self.down = nn.ModuleList([double(i, o) for i, o in zip((3,) + w[:-1], w)])
        self.up = nn.ModuleList([nn.ConvTranspose2d(o, i, 2, 2) for i, o in zip(w[:-1], w[1:])])
        self.mix = nn.ModuleList([double(2 * i, i) for i in w[:-1]])
        self.head = nn.Conv2d(w[0], 2, 1)

    def forward(self, x):
        skips = []
        for i, d in enumerate(self.down):
            x = d(x)
            if i < len(self.up):
                skips.append(x)
                x = F.max_pool2d(x, 2)
        for i in reversed(range(len(self.up))):
            x = self.mix[i](torch.cat([skips[i], self.up[i](x)], 1))
        return self.head(x)


class Lstm(nn.Module):
    def __init__(self, width=16):
        super().__init__()
        self.e, self.l, self.o = nn.Embedding(VOCABULARY, width), nn.LSTM(width, width, 2, batch_first=True), nn.Linear(width, VOCABULARY)

    def forward(self, t):
        return self.o(self.l(self.e(t))[0])


class Logits(nn.Module):
    """A model of the transformers package, from tokens to logits."""

    def __init__(self, m):
        super().__init__()
        self.m = m

    def forward(self, t):
        return self.m(t).logits


def gpt2():
    import transformers
    return Logits(transformers.GPT2LMHeadModel(transformers.GPT2Config(
        vocab_size=VOCABULARY, n_positions=32, n_embd=16, n_layer=2, n_head=2, use_cache=False, resid_pdrop=0,
        embd_pdrop=0, attn_pdrop=0, bos_token_id=0, eos_token_id=0)))


def bert():
    import transformers
    # Without pad_token_id: PyTorch leaves the padding token's row of an embedding out of the gradient, and ONNX has no
    # word for that.
    return Logits(transformers.BertForMaskedLM(transformers.BertConfig(
        vocab_size=VOCABULARY, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=32, hidden_dropout_prob=0, attention_probs_dropout_prob=0, pad_token_id=None)))


def vit():
    from torchvision.models import VisionTransformer
    return VisionTransformer(image_size=16, patch_size=4, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32,
                             num_classes=CLASSES)


# Steps are short: narrow networks with batch normalisation multiply rounding, at 5e-3 by a thousand in twenty steps.
SGD, ADAMW = {"name": "sgd", "lr": 3e-4, "momentum": 0.9}, {"name": "adamw", "lr": 1e-3}
# In bf16: so many times the rate, at which PyTorch's own bf16 stays within a third of the tolerance of its f64.
MIXED_BATCHES = 3
MIXED_RATES = {"resnet50": 3, "mobilenet_v2": 30, "unet": 30, "lstm": 30, "gpt2": 10, "bert": 10, "vit": 3}
IMAGE, TEXT = {0: "N"}, {0: "N", 1: "T"}
# builder, input of a sample, classes, optimiser, dynamic dimensions
NETWORKS = {
    "resnet50": (resnet50, [3, 64, 64], CLASSES, SGD, IMAGE),
    "mobilenet_v2": (mobilenet_v2, [3, 32, 32], CLASSES, SGD, IMAGE),
    "unet": (UNet, [3, 16, 16], 2, SGD, IMAGE),
    "lstm": (Lstm, [TOKENS], VOCABULARY, ADAMW, TEXT),
    "gpt2": (gpt2, [TOKENS], VOCABULARY, ADAMW, TEXT),
    "bert": (bert, [TOKENS], VOCABULARY, ADAMW, TEXT),
    "vit": (vit, [3, 16, 16], CLASSES, ADAMW, IMAGE),
}
FOLDED = ("resnet50", "mobilenet_v2", "unet")  # what the exporter's optimiser makes trains no batch normalisation


def network(name):
    """Weights of a seed; vectors around what they start from, all different."""
    torch.manual_seed(1)
    net = NETWORKS[name][0]()
    with torch.no_grad():
        for key, value in net.named_parameters():
            spread = uniform(f"{name}/{key}", list(value.shape), -0.1, 0.1)
            if key.endswith("bn3.weight"):
                value.fill_(0.2)  # a scale of 1 at the end of residual branches multiplies rounding
            if value.dim() < 2 or value.abs().sum() == 0:
                value.add_(spread)
    return net


def samples(name):
    """STEPS batches, in order."""
    _, shape, classes, _, dims = NETWORKS[name]
    n = STEPS * BATCH
    if dims is TEXT:
        x = torch.from_numpy((values("train/input", n * TOKENS) % np.uint64(VOCABULARY)).astype(np.int64)).reshape(n, TOKENS)
    else:
        x = uniform("train/input", [n] + shape, -1, 1)
    label = {"unet": [n] + shape[1:]}.get(name, [n, TOKENS] if dims is TEXT else [n])
    y = (values("train/labels", int(np.prod(label))) % np.uint64(classes)).astype(np.int64)
    return x, torch.from_numpy(y).reshape(label)


def losses(name, dtype, batches=STEPS, autocast=False, rate=1):
    net = network(name).to(dtype).train()
    x, y = samples(name)
    settings = dict(NETWORKS[name][3])
    settings["lr"] *= rate
    opt = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}[settings.pop("name")](net.parameters(), **settings)
    result = []
    for step in range(STEPS):
        first = step % batches * BATCH
        part = slice(first, first + BATCH)
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            out = net(x[part].to(dtype) if x.is_floating_point() else x[part])
            loss = F.cross_entropy(out.reshape(-1, out.shape[-1]), y[part].reshape(-1)) if out.dim() == 3 else F.cross_entropy(out, y[part])
        opt.zero_grad()
        loss.backward()
        opt.step()
        result.append(loss.item())
    return result


def apart(got, want):
    return max(abs(a - b) / abs(b) for a, b in zip(got, want))


def mixed(name):
    """What bf16 does: losses, how far they are from those in f64, and those from the untrained network's."""
    rate = MIXED_RATES[name]
    exact = losses(name, torch.float64, MIXED_BATCHES, rate=rate)
    got = losses(name, torch.float32, MIXED_BATCHES, True, rate)
    return {"optimizer": NETWORKS[name][3] | {"lr": NETWORKS[name][3]["lr"] * rate}, "batches": MIXED_BATCHES,
            "loss": got, "spread": apart(got, exact),
            "moved": apart(exact, losses(name, torch.float64, MIXED_BATCHES, rate=0))}


def export(name, path, optimize, training=False, opset=None):
    net = network(name).train(training)
    dims = {d: torch.export.Dim(s, min=2, max=32) for d, s in NETWORKS[name][4].items()}
    with contextlib.redirect_stdout(io.StringIO()):
        program = torch.onnx.export(net, (samples(name)[0][:3],), dynamo=True, optimize=optimize, opset_version=opset,
                                    dynamic_shapes=(dims,), input_names=["input"], output_names=["output"], verbose=False)
    program.save(path, external_data=False)


def strip(path):
    model = onnx.load(path)

    def keep(message):
        kept = [p for p in message.metadata_props if p.key in KEPT]
        del message.metadata_props[:]
        message.metadata_props.extend(kept)
        if isinstance(message, onnx.NodeProto) or isinstance(message, onnx.ValueInfoProto):
            message.doc_string = ""
    keep(model.graph)
    for node in model.graph.node:
        keep(node)
    # Types of values are not needed, notes at initializers are.
    values = [v for v in model.graph.value_info if v.metadata_props]
    for value in values:
        keep(value)
    del model.graph.value_info[:]
    model.graph.value_info.extend(v for v in values if v.metadata_props)
    onnx.save(model, path)


def write(folder, models=True):
    expected = {"torch": torch.__version__, "steps": STEPS, "batch": BATCH, "vocabulary": VOCABULARY, "cases": {}}
    for name, (_, shape, classes, optimizer, dims) in NETWORKS.items():
        f32, f64, bf16 = losses(name, torch.float32), losses(name, torch.float64), mixed(name)
        spread = apart(f32, f64)
        print(f"{name}: f32 {spread:.1e} from f64, bf16 {bf16['spread']:.1e}, moved {bf16['moved']:.1e}", flush=True)
        if models:
            write_models(name, folder)
        expected["cases"][name] = {"input": shape, "tokens": dims is TEXT, "classes": classes,
                                   "labels": list(samples(name)[1].shape[1:]), "folded": name in FOLDED,
                                   "optimizer": optimizer, "loss": f32, "spread": spread, "bf16": bf16}
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


def write_models(name, folder):
    files = [f"{name}.onnx", f"{name}-optimized.onnx"]
    export(name, folder / files[0], False)
    export(name, folder / files[1], True)
    for file in files:
        strip(folder / file)
        print(file, (folder / file).stat().st_size, flush=True)
    if name in FOLDED and name != "unet":
        (folder / files[1]).unlink()  # one file in which batch normalisation is folded is enough


def train(weft, name, model, ranks):
    """The losses that Weft reports, and what it said."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        x, y = samples(name)
        np.savez(folder / "data.npz", input=x.numpy(), labels=y.numpy())
        subprocess.run([weft, "data", "import", folder / "data.npz", "-o", folder / "data.h5"], check=True, capture_output=True)
        job = {"name": "check", "model": str(model), "batch": BATCH, "steps": STEPS, "loss": "cross_entropy",
               "data": {"train": "data.h5", "target": "labels", "shuffle": False},
               "optimizer": NETWORKS[name][3], "checkpoint": {"every": "1000 steps"}}
        (folder / "job.yaml").write_text(json.dumps(job))
        command = [weft, "train", folder / "job.yaml"]
        if ranks > 1:
            command = ["mpirun", "--oversubscribe", "-n", str(ranks)] + command
        run = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        if run.returncode:
            return None, run.stderr
        lines = [json.loads(line) for line in (folder / "runs/check/log.jsonl").read_text().splitlines()]
        return [line["loss"] for line in lines if not line.get("eval")], run.stderr


def check(weft, names):
    failures = 0
    for name in names:
        want = losses(name, torch.float32)
        variants = [(o, t, None) for o in (False, True) for t in (False, True)] + [(False, False, v) for v in (18, 23)]
        for optimize, training, opset in variants:
            with tempfile.TemporaryDirectory() as folder:
                model = pathlib.Path(folder) / "model.onnx"
                export(name, model, optimize, training, opset)
                for ranks in (1, 2):
                    got, said = train(weft, name, model, ranks)
                    what = f"{name:13} optimize={optimize!s:5} {'train' if training else 'eval':5} opset {opset or 'default'} ranks {ranks}"
                    if got is None:
                        verdict, fine = said.strip()[-600:], False
                    elif optimize and name in FOLDED:
                        fine = "folded" in said
                        verdict = "warned of" if fine else "NOT WARNED OF"
                    else:
                        worst = apart(got, want)
                        fine = worst <= 1e-4 and len(got) == STEPS
                        verdict = f"{worst:.1e}" + ("" if fine else "  TOO FAR")
                    failures += not fine
                    print(what, verdict, flush=True)
    return failures


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=pathlib.Path, help="where to write the files")
    parser.add_argument("--losses", action="store_true", help="write expected.json, not the models")
    parser.add_argument("--check", metavar="WEFT", help="train every export with this binary instead")
    parser.add_argument("--only", nargs="*", default=list(NETWORKS), help="networks to check")
    a = parser.parse_args()
    torch.set_num_threads(1)
    if a.check:
        sys.exit(1 if check(os.path.abspath(a.check), a.only) else 0)
    if a.folder is None:
        parser.error("name a folder, or --check WEFT")
    write(a.folder, not a.losses)


if __name__ == "__main__":
    main()
