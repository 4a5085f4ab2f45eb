#!/usr/bin/env python3
"""How much of the collectives' time is hidden behind kernels, on two nodes with a network between them.

    overlap.py [--weft build/release/weft] [--model resnet18:32] [--rate 1gbit] [--delay 50us] [--json F]

One rank a node (two_nodes.sh), TCP over a link of that rate and delay, batch normalisation over each rank's own samples.
Of each step: `in flight`, the time in which at least one collective was under way, and `waited`, how long the compute
thread stood still for one; hidden is what is left. Medians over the steps after the warm-up, on rank 0, and of the step
that hid most: waiting for a rank that other load on the machine made late counts as waiting too. Exit code 77 where the
machine has no namespaces; 1 with --goal where less is hidden.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "bench"))
from weft_runs import WARM_UP, Workload, median  # noqa: E402


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--weft", default=os.path.join(HERE, "..", "..", "build", "release", "weft"))
    p.add_argument("--model", default="resnet18:32", help="MODEL:BATCH of a rank")
    p.add_argument("--rate", default="1gbit", help="of the link, as tc has it; 0: as fast as it goes")
    p.add_argument("--delay", default="50us", help="each way, where the kernel can")
    p.add_argument("--cores", default="0;1", help="of each rank")
    p.add_argument("--steps", type=int, default=8, help="timed")
    p.add_argument("--threads", type=int, default=1, help="of a rank")
    p.add_argument("--goal", type=float, help="least part that must be hidden, as in 0.8")
    p.add_argument("--set", action="append", default=[], help="a key of the job; may be repeated")
    p.add_argument("--json", help="write the figures here")
    a = p.parse_args()
    two_nodes = os.path.join(HERE, "two_nodes.sh")
    lacking = subprocess.run([two_nodes, "check"], stdout=subprocess.PIPE, text=True)
    if lacking.returncode:
        print(lacking.stdout, end="")
        sys.exit(lacking.returncode)
    model, batch = a.model.split(":")[0], int(a.model.split(":")[1])
    with tempfile.TemporaryDirectory() as folder:
        workload = Workload(os.path.abspath(a.weft), model, 2 * batch, folder)
        settings = [f"batch={2 * batch}", f"threads={a.threads}", f"batch_norm.group={batch}", *a.set]
        command = workload.command("run", WARM_UP + a.steps, settings)
        subprocess.run([two_nodes, "run", "-r", a.rate, "-d", a.delay, "-c", a.cores, *command], cwd=folder, check=True,
                       stdout=subprocess.DEVNULL)
        with open(os.path.join(folder, "runs", "run", "log.jsonl")) as f:
            steps = [json.loads(line) for line in f][WARM_UP:]
    flight, waited, step = (median(s[k] for s in steps) for k in ("comm_ms", "exposed_comm_ms", "step_ms"))
    hidden = median(1 - s["exposed_comm_ms"] / s["comm_ms"] for s in steps)
    best = max(1 - s["exposed_comm_ms"] / s["comm_ms"] for s in steps)
    print(f"{model} batch {batch} a rank, {a.rate}: step {step:.1f} ms, collectives in flight {flight:.1f} ms, waited for "
          f"{waited:.1f} ms: {100 * hidden:.1f} % hidden (best step {100 * best:.1f} %)", flush=True)
    if a.json:
        with open(a.json, "w") as f:
            json.dump({"model": model, "batch_per_rank": batch, "rate": a.rate, "step_ms": step, "comm_ms": flight,
                       "exposed_comm_ms": waited, "hidden": hidden, "best_hidden": best, "steps": steps}, f, indent=1)
    if a.goal is not None and hidden < a.goal:
        sys.exit(1)


if __name__ == "__main__":
    main()
