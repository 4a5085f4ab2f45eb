#!/usr/bin/env python3
"""Training steps of Weft beside PyTorch's, in one run: the same models, batches, threads and cores, taking turns.

    bench_training.py --python .venv/bin/python              # a Python that has torch and torchvision
    bench_training.py --python … --cores 0,1 --rounds 5 --steps 20 --json training.json

Each round runs both programs once. `ratio` is PyTorch's median step time over Weft's, the median over the rounds: above
1, Weft is faster; `best ratio` compares the fastest steps, which other load on the machine disturbs least. Neither side
reads input inside a timed step. Memory is the peak resident size of the whole process, start-up included. Afterwards
one more run of Weft with --trace tells where its time goes.
"""
import argparse
import json
import os
import tempfile

from weft_runs import WARM_UP, Measured, Workload, median, pinned

HERE = os.path.dirname(os.path.abspath(__file__))


def run_weft(workload, a):
    run = Measured(pinned(a.cores, workload.command("timed", WARM_UP + a.steps)), workload.folder, a.threads).wait()
    times = workload.step_ms("timed")
    return {"ms": median(times), "best_ms": min(times), "peak_mib": run.peak_mib}


def run_torch(workload, a):
    command = [a.python, os.path.join(HERE, "peers", "torch_train.py"), "--model", workload.model, "--batch",
               str(workload.batch), "--mode", "eager", "--steps", str(a.steps), "--warmup", str(WARM_UP - 1)]
    run = Measured(pinned(a.cores, command), workload.folder, a.threads).wait()
    line = json.loads(run.out.strip().splitlines()[-1])
    return {"ms": line["ms_per_step"], "best_ms": line["best_ms"], "peak_mib": run.peak_mib, "torch": line["torch"]}


def compare(model, batch, a, folder):
    workload = Workload(a.weft, model, batch, folder)
    weft, torch = [], []
    for n in range(a.rounds):
        for side in (run_weft, run_torch) if n % 2 == 0 else (run_torch, run_weft):
            (weft if side is run_weft else torch).append(side(workload, a))
    Measured(pinned(a.cores, workload.command("traced", 6, trace=True)), folder, a.threads).wait()
    kinds, single = workload.trace_by_kind("traced")
    result = {"model": model, "batch": batch, "threads": a.threads, "rounds": a.rounds, "steps": a.steps,
              "ratio": median(t["ms"] / w["ms"] for w, t in zip(weft, torch)),
              "best_ratio": min(t["best_ms"] for t in torch) / min(w["best_ms"] for w in weft),
              "memory_ratio": max(w["peak_mib"] for w in weft) / max(t["peak_mib"] for t in torch),
              "weft": weft, "pytorch": torch, "weft_ms_by_kernel": kinds, "weft_ms_by_instruction": single}
    print(f"{model:10} batch {batch:3}: Weft {median(w['ms'] for w in weft):8.2f} ms, PyTorch "
          f"{median(t['ms'] for t in torch):8.2f} ms, ratio {result['ratio']:.2f} (best steps "
          f"{result['best_ratio']:.2f}); memory {max(w['peak_mib'] for w in weft):.0f} of "
          f"{max(t['peak_mib'] for t in torch):.0f} MiB ({result['memory_ratio']:.2f})", flush=True)
    total = sum(kinds.values())
    for kind, ms in list(kinds.items())[:8]:
        print(f"    {100 * ms / total:5.1f} %  {ms:8.2f} ms  {kind}")
    return result


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--python", required=True, help="a Python that has torch and torchvision")
    p.add_argument("--weft", default=os.path.join(HERE, "..", "..", "build", "release", "weft"))
    p.add_argument("--models", nargs="+", default=["lenet:64", "resnet18:32"], help="MODEL:BATCH")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--cores", default="0,1", help="cores that both are pinned to, as for taskset; '' for none")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--steps", type=int, default=20, help="timed steps of a run")
    p.add_argument("--json", help="write the figures here")
    a = p.parse_args()
    a.weft = os.path.abspath(a.weft)
    with tempfile.TemporaryDirectory() as folder:
        results = [compare(m.split(":")[0], int(m.split(":")[1]), a, os.path.join(folder, m.split(":")[0]))
                   for m in a.models]
    if a.json:
        with open(a.json, "w") as f:
            json.dump(results, f, indent=1)


if __name__ == "__main__":
    main()
