"""Runs of the built `weft` for the benchmarks: model, data and job in a folder, step times and peak memory out.

Standard library only. Data are uniform random samples, written as .npz and imported as a user would.
"""
import array
import json
import os
import random
import statistics
import struct
import subprocess
import time
import zipfile

CONFIGURATIONS = {  # model: (sample, classes), as peers/torch_train.py has them
    "lenet": ((1, 28, 28), 10),
    "resnet18": ((3, 224, 224), 1000),
}
WARM_UP = 4  # steps that are not timed; torch_train.py has as many


def write_npz(path, samples, shape, classes):
    def member(archive, name, dtype, dims, chunks):
        header = "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }" % (dtype, "".join("%d, " % d for d in dims))
        header += " " * (63 - (len(header) + 10) % 64) + "\n"
        with archive.open(name + ".npy", "w") as f:
            f.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode())
            for chunk in chunks:
                f.write(chunk)

    draw = random.Random(1)
    elements = 1
    for extent in shape:
        elements *= extent
    with zipfile.ZipFile(path, "w") as archive:
        member(archive, "input", "<f4", (samples,) + shape,
               (array.array("f", [draw.random() - 0.5 for _ in range(elements)]).tobytes() for _ in range(samples)))
        member(archive, "labels", "<i8", (samples,),
               (struct.pack("<q", draw.randrange(classes)) for _ in range(samples)))


class Workload:
    """A model with a job of `batch` samples a step, in `folder`."""

    def __init__(self, weft, model, batch, folder):
        self.weft, self.model, self.batch, self.folder = weft, model, batch, folder
        os.makedirs(folder, exist_ok=True)
        sample, classes = CONFIGURATIONS[model]
        # Two batches on disk, so that one process may also train on half of them.
        write_npz(os.path.join(folder, "data.npz"), 2 * batch, sample, classes)
        self.call("model", model, "-o", "model.onnx")
        self.call("data", "import", "data.npz", "-o", "data.h5")
        job = {"model": "model.onnx", "data": {"train": "data.h5", "target": "labels", "shuffle": False},
               "loss": "cross_entropy", "optimizer": {"name": "sgd", "lr": 0.01, "momentum": 0.9},
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

    def __init__(self, command, folder, threads):
        environment = os.environ | {"OMP_NUM_THREADS": str(threads), "OMPI_ALLOW_RUN_AS_ROOT": "1",
                                    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
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
