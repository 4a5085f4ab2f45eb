#!/usr/bin/env python3
"""Weak scaling on one machine: ranks that train together against processes that do not know of each other.

    bench_scaling.py --cores 0,1 --rounds 5 --json scaling.json

One single-thread rank a core under mpirun, batch per rank kept, against as many single-thread processes at the same
time on the same cores: the efficiency is the median step time of these over that of the ranks, the median over rounds
that begin with either side in turn; `best efficiency` compares the fastest steps. Both sides share the machine's memory
bandwidth, so that the difference is communication alone; above 1 is other load on the machine: measure again. Batch normalisation is over each rank's own
samples (batch_norm.group) unless --shared-statistics asks for Weft's default, which exchanges them.
"""
import argparse
import json
import os
import tempfile

from weft_runs import WARM_UP, Measured, Workload, median

HERE = os.path.dirname(os.path.abspath(__file__))


def alone(workload, cores, batch, a):
    names = [f"alone{i}" for i in range(len(cores))]
    settings = [f"batch={batch}", "threads=1"]
    runs = [Measured(["taskset", "-c", core, *workload.command(name, WARM_UP + a.steps, settings)], workload.folder, 1)
            for name, core in zip(names, cores)]
    for run in runs:
        run.wait()
    times = [workload.step_ms(name) for name in names]
    return {"ms": sum(map(median, times)) / len(times), "best_ms": sum(map(min, times)) / len(times)}


def together(workload, cores, batch, a):
    settings = [f"batch={batch * len(cores)}", "threads=1"]
    if not a.shared_statistics:
        settings.append(f"batch_norm.group={batch}")
    rank = workload.command("together", WARM_UP + a.steps, settings)
    command = ["mpirun", "--oversubscribe", "--bind-to", "none", "--quiet"]
    for i, core in enumerate(cores):
        command += ([":"] if i else []) + ["-n", "1", "taskset", "-c", core, *rank]
    Measured(command, workload.folder, 1).wait()
    times = workload.step_ms("together")
    return {"ms": median(times), "best_ms": min(times)}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--weft", default=os.path.join(HERE, "..", "..", "build", "release", "weft"))
    p.add_argument("--models", nargs="+", default=["lenet:64", "resnet18:16"], help="MODEL:BATCH of a rank")
    p.add_argument("--cores", default="0,1", help="one rank on each")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--steps", type=int, default=20, help="timed steps of a run")
    p.add_argument("--shared-statistics", action="store_true", help="batch normalisation over the global batch")
    p.add_argument("--json", help="write the figures here")
    a = p.parse_args()
    a.weft = os.path.abspath(a.weft)
    cores, results = a.cores.split(","), []
    with tempfile.TemporaryDirectory() as folder:
        for model, batch in ((m.split(":")[0], int(m.split(":")[1])) for m in a.models):
            workload = Workload(a.weft, model, batch * len(cores), os.path.join(folder, model))
            one, both = [], []
            for n in range(a.rounds):
                for side in (alone, together) if n % 2 == 0 else (together, alone):
                    (one if side is alone else both).append(side(workload, cores, batch, a))
            efficiency = median(o["ms"] / b["ms"] for o, b in zip(one, both))
            best = min(o["best_ms"] for o in one) / min(b["best_ms"] for b in both)
            results.append({"model": model, "batch_per_rank": batch, "ranks": len(cores), "efficiency": efficiency,
                            "best_efficiency": best, "alone": one, "together": both})
            print(f"{model:10} batch {batch:3} a rank, {len(cores)} ranks: alone {median(o['ms'] for o in one):8.2f} ms, "
                  f"together {median(b['ms'] for b in both):8.2f} ms, efficiency {100 * efficiency:.1f} % "
                  f"(best steps {100 * best:.1f} %)", flush=True)
    if a.json:
        with open(a.json, "w") as f:
            json.dump(results, f, indent=1)


if __name__ == "__main__":
    main()
