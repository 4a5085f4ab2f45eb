#!/usr/bin/env python3
"""Training steps of Weft beside PyTorch's, in one run: the same models, batches, threads and cores, taking turns.

    bench_training.py --python .venv/bin/python              # a Python that has torch and torchvision
    bench_training.py --python … --cores 0,1 --rounds 5 --steps 20 --json training.json
    bench_training.py --python … --dtype bf16 --models gpt2:4 resnet18:32
    bench_training.py --python … --models resnet50:32 --torch-modes eager compile --roofline build/release/bench/bench_roofline

Each round runs both programs once. `ratio` is PyTorch's median step time over Weft's, the median over the rounds: above
1, Weft is faster; `best ratio` compares the fastest steps, which other load on the machine disturbs least. Neither side
reads input inside a timed step. PyTorch runs at its best: channels-last for images, tcmalloc preloaded where the system
has it (a page fault may cost much), and, of --torch-modes, the one that was fastest in the first round. --roofline adds
what both sides reach of the roofline, and where Weft's time goes beyond it (bench_roofline.cpp). Memory is the peak resident size of the whole process, start-up included. Afterwards
one more run of Weft with --trace tells where its time goes.
"""
import argparse
import glob
import json
import os
import tempfile

from weft_runs import CONFIGURATIONS, WARM_UP, Measured, Workload, median, pinned

HERE = os.path.dirname(os.path.abspath(__file__))


def tcmalloc():
    """The allocator's library, or None."""
    for pattern in ("/usr/lib*/libtcmalloc_minimal.so.4", "/usr/lib/*/libtcmalloc_minimal.so.4"):
        if found := sorted(glob.glob(pattern)):
            return found[0]
    return None


def run_weft(workload, a):
    run = Measured(pinned(a.cores, workload.command("timed", WARM_UP + a.steps, a.set)), workload.folder, a.threads).wait()
    times = workload.step_ms("timed")
    return {"ms": median(times), "best_ms": min(times), "peak_mib": run.peak_mib}


def run_torch(workload, a, mode):
    configuration = CONFIGURATIONS[workload.model]
    command = [a.python, os.path.join(HERE, "peers", "torch_train.py"), "--model", workload.model, "--batch",
               str(workload.batch), "--mode", mode, "--dtype", a.dtype, "--steps", str(a.steps),
               "--warmup", str(WARM_UP - 1)]
    if configuration.length:
        command += ["--seq", str(configuration.length)]
    elif len(configuration.sample) == 3:
        command += ["--channels-last"]
    allocator = tcmalloc()
    run = Measured(pinned(a.cores, command), workload.folder, a.threads,
                   {"LD_PRELOAD": allocator} if allocator else None).wait()
    line = json.loads(run.out.strip().splitlines()[-1])
    return {"ms": line["ms_per_step"], "best_ms": line["best_ms"], "peak_mib": run.peak_mib, "torch": line["torch"],
            "mode": mode, "allocator": allocator}


def roofline(workload, a):
    """bench_roofline's figures of the same job."""
    command = [os.path.abspath(a.roofline), "job.yaml", "--rounds", str(a.rounds), "--json", "roofline.json",
               *(w for s in a.set for w in ("--set", s))]
    print(Measured(pinned(a.cores, command), workload.folder, a.threads).wait().out, end="")
    with open(os.path.join(workload.folder, "roofline.json")) as f:
        return json.load(f)


def compare(model, batch, a, folder):
    workload = Workload(a.weft, model, batch, folder)
    weft, torch = [], []
    tried = [run_torch(workload, a, mode) for mode in a.torch_modes] if len(a.torch_modes) > 1 else []
    mode = min(tried, key=lambda t: t["ms"])["mode"] if tried else a.torch_modes[0]
    for n in range(a.rounds):
        for ours in (True, False) if n % 2 == 0 else (False, True):
            (weft if ours else torch).append(run_weft(workload, a) if ours else run_torch(workload, a, mode))
    Measured(pinned(a.cores, workload.command("traced", 6, a.set, trace=True)), folder, a.threads).wait()
    kinds, single = workload.trace_by_kind("traced")
    result = {"model": model, "batch": batch, "threads": a.threads, "rounds": a.rounds, "steps": a.steps,
              "settings": a.set, "torch_mode": mode, "dtype": a.dtype, "torch_tried": tried,
              "ratio": median(t["ms"] / w["ms"] for w, t in zip(weft, torch)),
              "best_ratio": min(t["best_ms"] for t in torch) / min(w["best_ms"] for w in weft),
              "memory_ratio": max(w["peak_mib"] for w in weft) / max(t["peak_mib"] for t in torch),
              "weft": weft, "pytorch": torch, "weft_ms_by_kernel": kinds, "weft_ms_by_instruction": single}
    print(f"{model:10} batch {batch:3}: Weft {median(w['ms'] for w in weft):8.2f} ms, PyTorch ({mode}, {a.dtype}) "
          f"{median(t['ms'] for t in torch):8.2f} ms, ratio {result['ratio']:.2f} (best steps "
          f"{result['best_ratio']:.2f}); memory {max(w['peak_mib'] for w in weft):.0f} of "
          f"{max(t['peak_mib'] for t in torch):.0f} MiB ({result['memory_ratio']:.2f})", flush=True)
    if a.roofline:
        result["roofline"] = r = roofline(workload, a)
        fastest = {"Weft": min(w["best_ms"] for w in weft), "PyTorch": min(t["best_ms"] for t in torch)}
        result["fraction_of_roofline"] = {side: r["roofline_ms"] / ms for side, ms in fastest.items()}
        print("    fraction of the roofline, fastest steps: " +
              ", ".join(f"{side} {f:.3f}" for side, f in result["fraction_of_roofline"].items()), flush=True)
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
    p.add_argument("--torch-modes", nargs="+", choices=["eager", "compile"], default=["eager"],
                   help="which to try; the fastest is compared")
    p.add_argument("--dtype", choices=["f32", "bf16"], default="f32", help="of both: Weft's precision, PyTorch's autocast")
    p.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a key of Weft's job")
    p.add_argument("--roofline", help="the built bench_roofline; adds fractions of the roofline")
    p.add_argument("--json", help="write the figures here")
    a = p.parse_args()
    a.weft = os.path.abspath(a.weft)
    a.set.append(f"precision={a.dtype}")
    with tempfile.TemporaryDirectory() as folder:
        results = [compare(m.split(":")[0], int(m.split(":")[1]), a, os.path.join(folder, m.split(":")[0]))
                   for m in a.models]
    if a.json:
        with open(a.json, "w") as f:
            json.dump(results, f, indent=1)


if __name__ == "__main__":
    main()
