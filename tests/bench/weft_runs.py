"""Runs of the built `weft` for the benchmarks: model, data and job in a folder, step times and peak memory out.

Standard library only. Data are uniform random samples, written as .npz and imported as a user would.
"""
import array
import dataclasses
import json
import math
import os
import random
import statistics
import struct
import subprocess
import time
import zipfile

@dataclasses.dataclass
class Configuration:
    """One sample of a model's training data, and how PyTorch's peer is told of it."""
    sample: tuple          # of the input
    classes: int           # of every label
    labels: tuple = ()     # shape of a sample's labels
    vocabulary: int = 0    # > 0: the input holds tokens
    optimizer: tuple = (("name", "sgd"), ("lr", 0.01), ("momentum", 0.9))
    settings: tuple = ()   # of `weft model`
    length: int = 0        # tokens of a sample: torch_train.py's --seq


ADAMW = (("name", "adamw"), ("lr", 1e-4))
CONFIGURATIONS = {  # as peers/torch_train.py has them
    "lenet": Configuration((1, 28, 28), 10),
    "resnet18": Configuration((3, 224, 224), 1000),
    "resnet50": Configuration((3, 224, 224), 1000),
    "mobilenet_v2": Configuration((3, 224, 224), 1000),
    "vit": Configuration((3, 224, 224), 1000),
    "unet": Configuration((3, 128, 128), 2, (128, 128)),
    "lstm": Configuration((64,), 10000, (64,), 10000, length=64),
    "bert": Configuration((128,), 30522, (128,), 30522, ADAMW, length=128),
    "gpt2": Configuration((128,), 50257, (128,), 50257, ADAMW, length=128),
}
WARM_UP = 4  # steps that are not timed; torch_train.py has as many


def write_npz(path, samples, configuration):
    def member(archive, name, dtype, dims, chunks):
        header = "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }" % (dtype, "".join("%d, " % d for d in dims))
        header += " " * (63 - (len(header) + 10) % 64) + "\n"
        with archive.open(name + ".npy", "w") as f:
            f.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode())
            for chunk in chunks:
                f.write(chunk)

    draw = random.Random(1)

    def integers(shape, limit):
        return array.array("q", [draw.randrange(limit) for _ in range(math.prod(shape))]).tobytes()

    def floats(shape):
        return array.array("f", [draw.random() - 0.5 for _ in range(math.prod(shape))]).tobytes()

    c = configuration
    with zipfile.ZipFile(path, "w") as archive:
        member(archive, "input", "<i8" if c.vocabulary else "<f4", (samples,) + c.sample,
               (integers(c.sample, c.vocabulary) if c.vocabulary else floats(c.sample) for _ in range(samples)))
        member(archive, "labels", "<i8", (samples,) + c.labels,
               (integers(c.labels, c.classes) for _ in range(samples)))


class Workload:
    """A model with a job of `batch` samples a step, in `folder`."""

    def __init__(self, weft, model, batch, folder):
        self.weft, self.model, self.batch, self.folder = weft, model, batch, folder
        os.makedirs(folder, exist_ok=True)
        configuration = CONFIGURATIONS[model]
        # Two batches on disk, so that one process may also train on half of them.
        write_npz(os.path.join(folder, "data.npz"), 2 * batch, configuration)
        self.call("model", model, "-o", "model.onnx", *(w for s in configuration.settings for w in ("--set", s)))
        self.call("data", "import", "data.npz", "-o", "data.h5")
        job = {"model": "model.onnx", "data": {"train": "data.h5", "target": "labels", "shuffle": False},
               "loss": "cross_entropy", "optimizer": dict(configuration.optimizer),
               "batch": batch, "log_every": 1, "name": model}
        with open(os.path.join(folder, "job.yaml"), "w") as f:
            json.dump(job, f, indent=1)  # JSON is YAML

    def call(self, *arguments):
        subprocess.run([self.weft, *arguments], cwd=self.folder, check=True, stdout=subprocess.DEVNULL)

    def command(self, name, steps, settings=(), trace=False):
        command = [self.weft, "train", "job.yaml", "--resume", "never", "--quiet"]
        for setting in (f"name={name}", f"steps={steps}", "checkpoint.every=never", *settings):
            command += ["--set", setting]
        return command + (["--trace"] if trace else [])

    def step_ms(self, name):
        """Times of the steps after the warm-up."""
        with open(os.path.join(self.folder, "runs", name, "log.jsonl")) as f:
            return [json.loads(line)["step_ms"] for line in f][WARM_UP:]

    def trace_by_kind(self, name):
        """Milliseconds a step by what did the work, the first (cold) traced step left out; and by instruction."""
        with open(os.path.join(self.folder, "runs", name, "trace.json")) as f:
            events = [e for e in json.load(f)["traceEvents"] if e["ph"] == "X"]
        first = min(e["args"]["step"] for e in events)
        steps = len({e["args"]["step"] for e in events}) - 1
        kinds, single = {}, {}
        for e in events:
            if e["args"]["step"] == first:
                continue
            kind = e.get("cat", "other")
            kinds[kind] = kinds.get(kind, 0) + e["dur"] / 1e3 / steps
            single[f"{kind}: {e['name']}"] = single.get(f"{kind}: {e['name']}", 0) + e["dur"] / 1e3 / steps
        ranked = lambda d: dict(sorted(((k, round(v, 3)) for k, v in d.items()), key=lambda kv: -kv[1]))
        return ranked(kinds), dict(list(ranked(single).items())[:15])


class Measured:
    """A finished child: its output, wall time and peak resident memory in MiB."""

    def __init__(self, command, folder, threads, more=None):
        environment = os.environ | {"OMP_NUM_THREADS": str(threads), "OMPI_ALLOW_RUN_AS_ROOT": "1",
                                    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"} | (more or {})
        self.started = time.monotonic()
        self.process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)

    def wait(self):
        self.out = self.process.stdout.read()
        _, status, usage = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        if self.process.returncode != 0:
            raise SystemExit(f"{' '.join(self.process.args)}: ended with {self.process.returncode}\n{self.out}")
        self.seconds = time.monotonic() - self.started
        self.peak_mib = usage.ru_maxrss / 1024
        self.cpu_seconds = usage.ru_utime + usage.ru_stime
        return self


def pinned(cores, command):
    return ["taskset", "-c", cores, *command] if cores else list(command)


def median(values):
    return statistics.median(values)
