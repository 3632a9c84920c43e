"""Everything of this folder, under target/benchmarks/value: see README.md."""

import argparse
import json
import os
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
SETS = {"symmetric": ["digits", "letter", "satimage", "magic", "phoneme", "spambase"], "pair": ["digits", "letter", "satimage"]}
BINARY = {"magic", "phoneme", "spambase"}
# One policy each with its noise: share, kind, and what it is compared with.
TRAININGS = [("0", "symmetric"), ("0.2", "symmetric"), ("0.4", "symmetric"), ("0.4", "pair")]


def python(folder, name):
    """A virtual environment of the pinned peers; pyDVL needs an older numpy, so it has its own."""
    where = folder / name
    if not where.exists():
        venv.create(where, with_pip=True)
        subprocess.run([where / "bin/pip", "-q", "install", "-r", HERE / f"requirements-{name}.txt"], check=True)
    return where / "bin/python"


def lines(binary, *words):
    out = subprocess.run([binary, *map(str, words)], check=True, capture_output=True, text=True).stdout
    return [json.loads(line) for line in out.splitlines()]


def observe(binary, mnist, pairs):
    results = lines(binary, "observe", mnist, pairs, 200)
    ratios = sorted(result["ratio"] for result in results)
    same = sum(result["identical"] for result in results)
    print(f"observing: {100 * (ratios[len(ratios) // 2] - 1):+.2f} % of step CPU time, median of {len(ratios)} pairs"
          f" ({100 * (ratios[0] - 1):+.2f} to {100 * (ratios[-1] - 1):+.2f}); parameters identical in {same}", flush=True)


def trainings(binary, mnist, seeds):
    from statistics import mean, stdev

    print("| noise | policy | seeds | last epoch | best epoch | samples | seconds |\n|---|---|---|---|---|---|---|")
    for share, kind in TRAININGS:
        for policy in ["uniform", "infobatch", "denoise"]:
            got = [lines(binary, "policy", mnist, policy, share, kind, seed)[0] for seed in seeds]
            cell = lambda name: (lambda v: f"{mean(v):.4f} ± {stdev(v) if len(v) > 1 else 0:.4f}")([g[name] for g in got])
            print(f"| {share} {kind} | {policy} | {len(seeds)} | {cell('last')} | {cell('best')} | {cell('share')} | {cell('seconds')} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="*", default=["offline", "wrong-labels", "observe", "policies"])
    parser.add_argument("--mnist", help="the folder of train.parquet and test.parquet; what needs it is skipped without")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--binary", help="value-benchmark, if it is built already")
    options = parser.parse_args()
    os.environ["RAYON_NUM_THREADS"] = "1"
    folder = ROOT / "target/benchmarks/value"
    folder.mkdir(parents=True, exist_ok=True)
    binary = options.binary
    if not binary:
        subprocess.run(["cargo", "build", "--locked", "--release", "-p", "arable-value-benchmarks"], cwd=ROOT, check=True)
        binary = ROOT / "target/release/value-benchmark"
    peers = python(folder, "cleanlab")
    seeds = range(1, options.seeds + 1)
    if {"offline", "wrong-labels"} & set(options.what):
        subprocess.run([peers, HERE / "prepare.py", folder], check=True)
    if "offline" in options.what:
        subprocess.run([peers, HERE / "offline.py", binary, folder, python(folder, "pydvl")], check=True)
    if "wrong-labels" in options.what:
        for kind, names in SETS.items():
            for name in names:
                for seed in seeds:
                    lines(binary, "wrong-labels", folder / f"{name}.csv", kind, seed, folder / f"{name}-{kind}-{seed}.csv")
        subprocess.run([peers, HERE / "wrong_labels.py", folder, str(options.seeds)], check=True)
    for what, run in [("observe", lambda: observe(binary, options.mnist, 11)), ("policies", lambda: trainings(binary, options.mnist, seeds))]:
        if what in options.what:
            if options.mnist:
                run()
            else:
                print(f"{what}: skipped, for want of --mnist", file=sys.stderr)
