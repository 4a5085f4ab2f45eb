#!/usr/bin/env python3
"""What each compiler pass buys: training steps with every pass, and with each that can be left out left out, in turn.

    bench_ablation.py                                            # resnet50 and a small gpt2
    bench_ablation.py --cases resnet50:8 --cores 0,1 --rounds 3 --steps 10 --json ablation.json

Each round runs all variants once, in another order. `time` is the median step time over that with all passes (above 1:
the pass makes steps faster), the median over the rounds; `memory` the same of the process's peak resident size; `arena`
what the program plans for. `loss` is the largest relative difference of a step's loss: passes never change values.
"""
import argparse
import array
import json
import os
import random
import subprocess
import tempfile
import zipfile

from weft_runs import WARM_UP, Measured, Workload, median, pinned

HERE = os.path.dirname(os.path.abspath(__file__))
ALL = "(all passes)"
# model: settings of `weft model`, inputs of a sample, classes, whether every position has a label, optimiser
CASES = {
    "resnet50": ([], (3, 224, 224), 1000, False, {"name": "sgd", "lr": 0.01, "momentum": 0.9}),
    "gpt2": (["layers=4", "width=384", "heads=6", "vocabulary=8192", "sequence=128"], (128,), 8192, True,
             {"name": "adamw", "lr": 1e-4}),
}


def write_npz(path, samples, shape, classes, tokens):
    draw = random.Random(1)
    elements = 1
    for extent in shape:
        elements *= extent

    def member(archive, name, dtype, dims, values):
        header = "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }" % (dtype, "".join("%d, " % d for d in dims))
        header += " " * (63 - (len(header) + 10) % 64) + "\n"
        archive.writestr(name + ".npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()
                         + values.tobytes())

    def integers(count):
        return array.array("q", (draw.randrange(classes) for _ in range(count)))

    with zipfile.ZipFile(path, "w") as archive:
        if tokens:
            member(archive, "input", "<i8", (samples,) + shape, integers(samples * elements))
            member(archive, "labels", "<i8", (samples,) + shape, integers(samples * elements))
        else:
            values = array.array("f", (draw.random() - 0.5 for _ in range(samples * elements)))
            member(archive, "input", "<f4", (samples,) + shape, values)
            member(archive, "labels", "<i8", (samples,), integers(samples))


class Case(Workload):
    """A model with a job, compiled with or without some passes."""

    def __init__(self, weft, model, batch, folder):
        self.weft, self.model, self.batch, self.folder = weft, model, batch, folder
        os.makedirs(folder)
        settings, shape, classes, tokens, optimizer = CASES[model]
        write_npz(os.path.join(folder, "data.npz"), 2 * batch, shape, classes, tokens)
        self.call("model", model, "-o", "model.onnx", *(word for s in settings for word in ("--set", s)))
        self.call("data", "import", "data.npz", "-o", "data.h5")
        job = {"model": "model.onnx", "data": {"train": "data.h5", "target": "labels", "shuffle": False},
               "loss": "cross_entropy", "optimizer": optimizer, "batch": batch, "log_every": 1, "name": model}
        with open(os.path.join(folder, "job.yaml"), "w") as f:
            json.dump(job, f, indent=1)  # JSON is YAML

    def compiled(self, without=None):
        command = [self.weft, "compile", "job.yaml", "--json"] + (["--without", without] if without else [])
        return json.loads(subprocess.run(command, cwd=self.folder, check=True, stdout=subprocess.PIPE).stdout)

    def losses(self, name):
        with open(os.path.join(self.folder, "runs", name, "log.jsonl")) as f:
            return [json.loads(line)["loss"] for line in f]


def passes_of(case):
    """Names of the passes that can be left out, in order."""
    listed = subprocess.run([case.weft, "compile", "job.yaml", "--dump", "list"], cwd=case.folder, check=True,
                            stdout=subprocess.PIPE, text=True).stdout
    return [line.split()[0] for line in listed.splitlines()
            if "cannot be left out" not in line and "(dump only)" not in line]


def run(case, without, a):
    name = "without-" + without if without != ALL else "all"
    settings = [f"threads={a.threads}"] + ([f"compile.without=[{without}]"] if without != ALL else [])
    command = case.command(name, WARM_UP + a.steps, settings)
    measured = Measured(pinned(a.cores, command), case.folder, a.threads).wait()
    return {"ms": median(case.step_ms(name)), "peak_mib": measured.peak_mib, "losses": case.losses(name)}


def ablate(case, a):
    variants = [ALL] + passes_of(case)
    runs = {v: [] for v in variants}
    for n in range(a.rounds):
        for v in variants if n % 2 == 0 else reversed(variants):
            runs[v].append(run(case, v, a))
    base = runs[ALL]
    rows = []
    for v in variants:
        program = case.compiled(None if v == ALL else v)["programs"][0]
        first, own = base[0]["losses"], runs[v][0]["losses"]
        rows.append({
            "pass": v,
            "step_ms": median(r["ms"] for r in runs[v]),
            "time": median(r["ms"] / b["ms"] for r, b in zip(runs[v], base)),
            "peak_mib": median(r["peak_mib"] for r in runs[v]),
            "memory": median(r["peak_mib"] / b["peak_mib"] for r, b in zip(runs[v], base)),
            "arena_mib": program["arena_bytes"] / 2**20,
            "instructions": program["instructions"],
            "loss": max(abs(x - y) / abs(y) for x, y in zip(own, first)),
        })
    return {"model": case.model, "batch": case.batch, "threads": a.threads, "rows": rows}


def print_table(result):
    print(f"\n{result['model']}, batch {result['batch']}, {result['threads']} threads")
    print(f"{'without':<14}{'step ms':>10}{'time':>8}{'peak MiB':>10}{'memory':>8}{'arena MiB':>11}{'instructions':>14}"
          f"{'loss':>10}")
    for r in result["rows"]:
        print(f"{r['pass']:<14}{r['step_ms']:>10.2f}{r['time']:>8.3f}{r['peak_mib']:>10.0f}{r['memory']:>8.3f}"
              f"{r['arena_mib']:>11.1f}{r['instructions']:>14}{r['loss']:>10.1e}", flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--weft", default=os.path.join(HERE, "..", "..", "build", "release", "weft"))
    p.add_argument("--cases", nargs="+", default=["resnet50:8", "gpt2:4"], help="MODEL:BATCH, of " + ", ".join(CASES))
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--cores", default="0,1", help="cores that runs are pinned to, as for taskset; '' for none")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--steps", type=int, default=6, help="timed steps of a run")
    p.add_argument("--json", help="write the figures here")
    a = p.parse_args()
    a.weft = os.path.abspath(a.weft)
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for text in a.cases:
            model, batch = text.split(":")
            results.append(ablate(Case(a.weft, model, int(batch), os.path.join(folder, model)), a))
            print_table(results[-1])
    if a.json:
        with open(a.json, "w") as f:
            json.dump(results, f, indent=1)


if __name__ == "__main__":
    main()
