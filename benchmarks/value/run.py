"""Everything of this folder, under target/benchmarks/value: see README.md."""

import argparse
import json
import os
import subprocess
import sys
import venv
from pathlib import Path
from statistics import mean, median, stdev

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
FOLDER = ROOT / "target/benchmarks/value"
PARTS = ["offline", "wrong-labels", "cifar10n", "observe", "denoise", "gate", "infobatch", "rho"]
NOISE = [("0.2", "symmetric"), ("0.4", "symmetric"), ("0.4", "pair")]
HUMAN = ["aggre_label", "random_label1", "worse_label"]


def python(name):
    """A virtual environment of the pinned peers; pyDVL needs an older numpy, so it has its own."""
    where = FOLDER / name
    if not (where / "bin/pip").exists():
        venv.create(where, with_pip=True)
        subprocess.run([where / "bin/pip", "-q", "install", "-r", HERE / f"requirements-{name}.txt"], check=True)
    return where / "bin/python"


def lines(binary, *words):
    """The results that one command prints; they are also kept, as lines of JSON."""
    found = subprocess.run([binary, *map(str, words)], stdout=subprocess.PIPE, text=True)
    if found.returncode:
        sys.exit(f"`{' '.join(map(str, words))}` failed")
    with open(FOLDER / "results.jsonl", "a") as kept:
        kept.write(found.stdout)
    return [json.loads(line) for line in found.stdout.splitlines()]


def spread(values, digits=4):
    return f"{mean(values):.{digits}f} ± {stdev(values) if len(values) > 1 else 0:.{digits}f}"


def row(*cells):
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def heads(*names):
    print()
    row(*names)
    row(*["---"] * len(names))


def interval(values):
    """The mean, and its 95 % interval by Student's t."""
    from scipy.stats import t

    half = t.ppf(0.975, len(values) - 1) * stdev(values) / len(values) ** 0.5
    return f"{mean(values):+.4f} ({mean(values) - half:+.4f} to {mean(values) + half:+.4f})"


def observe(binary, mnist):
    results = lines(binary, "observe", mnist, 11, 300)
    ratios = sorted(result["ratio"] for result in results)
    same = sum(result["identical"] for result in results)
    print(f"\nobserving: {100 * (median(ratios) - 1):+.2f} % of step CPU time, median of {len(ratios)} pairs"
          f" ({100 * (ratios[0] - 1):+.2f} to {100 * (ratios[-1] - 1):+.2f}); parameters identical in {same}", flush=True)


def trainings(binary, folder, rows, policies, noise, seeds, passes=15):
    """Results by policy, each a list in the order of seeds."""
    found = {policy: [] for policy in policies.split(",")}
    for seed in seeds:
        for result in lines(binary, "policies", folder, rows, policies, *noise, seed, "test", passes):
            found[result["policy"]].append(result)
    return found


def summary(noise, found):
    for policy, results in found.items():
        of = lambda name: [result[name] for result in results]
        row(" ".join(noise), policy, len(results), spread(of("last")), spread(of("best")), f"{mean(of('samples')):,.0f}",
            f"{mean(of('wrong')):.3f}", f"{median(of('seconds')):.2f}")


COLUMNS = ["noise", "policy", "seeds", "last epoch", "best epoch", "samples", "wrong among them", "seconds, median"]


def denoise(binary, mnist, seeds):
    heads(*COLUMNS)
    for noise in NOISE:
        summary(noise, trainings(binary, mnist, 30_000, "uniform,denoise", noise, seeds))


def infobatch(binary, name, folder, rows, seeds, passes=15):
    found = trainings(binary, folder, rows, "uniform,infobatch", ("0", "symmetric"), seeds, passes)
    name = f"{name}, {passes} passes"
    heads("data", *COLUMNS[1:])
    summary((name,), found)
    pairs = list(zip(found["uniform"], found["infobatch"]))
    ratio = lambda name: median(1 - mine[name] / plain[name] for plain, mine in pairs)
    for which in ("last", "best"):
        print(f"\n{name}, {which} epoch, infobatch − uniform over {len(pairs)} pairs, mean and 95 % interval: "
              + interval([mine[which] - plain[which] for plain, mine in pairs]))
    print(f"\nmedian over pairs: {100 * ratio('samples'):.1f} % fewer samples, {100 * ratio('seconds'):.1f} % less wall time, "
          f"{100 * ratio('cpu'):.1f} % less CPU time", flush=True)


def gate(binary, mnist, fresh, seeds):
    heads("clean set", "rows", "classes", "observed passes", "seeds", "shut", "identical to uniform")
    for name in fresh:
        for warmup in (10, 3):
            found = [lines(binary, "gate", FOLDER / f"{name}.csv", warmup, seed)[0] for seed in seeds]
            row(name, found[0]["rows"], found[0]["classes"], warmup, len(found), sum(f["shut"] for f in found),
                sum(f["identical"] for f in found))
    if mnist:
        found = trainings(binary, mnist, 30_000, "uniform,denoise", ("0", "symmetric"), seeds)
        pairs = list(zip(found["uniform"], found["denoise"]))
        row("MNIST", 30_000, 10, 3, len(pairs), sum(a["samples"] == b["samples"] for a, b in pairs),
            sum(a["parameters"] == b["parameters"] for a, b in pairs))


def rho(binary, mnist, seeds):
    for share in ("0.2", "0.4"):
        found = {}
        for seed in seeds:
            for result in lines(binary, "rho", mnist, share, seed, "all"):
                found.setdefault(result["training"], []).append(result)
        print(f"\nNoise {share}; units: the forward pass of one row is 1.")
        heads("training", "steps", "steps to 93 %", "final accuracy", "wrong among the picks", "units",
              "with the reference", "with a tenth of it", "units to 93 %", "with a tenth of the reference")
        for name, results in found.items():
            of = lambda key: [result[key] for result in results]
            known = [result for result in results if result["steps_to_target"] is not None]
            reached = lambda of: f"{mean(map(of, known)):,.0f} ({len(known)} of {len(results)})" if known else "never"
            units = lambda part: f"{mean(r['units'] + part * r['reference_units'] for r in results):,.0f}"
            row(name, f"{mean(of('steps')):,.0f}", reached(lambda r: r["steps_to_target"]), spread(of("final")),
                f"{mean(of('wrong')):.3f}", units(0), units(1), units(0.1), reached(lambda r: r["units_to_target"]),
                reached(lambda r: r["units_to_target"] + 0.1 * r["reference_units"]))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="*", default=PARTS, choices=[*PARTS, []])
    parser.add_argument("--mnist", help="the folder of train.parquet and test.parquet; what needs it is skipped without")
    parser.add_argument("--cifar10n", help="the same of CIFAR-10N")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=20, help="of infobatch and uniform on MNIST")
    parser.add_argument("--binary", help="value-benchmark, if it is built already")
    options = parser.parse_args()
    os.environ["RAYON_NUM_THREADS"] = "1"
    FOLDER.mkdir(parents=True, exist_ok=True)
    peers = python("cleanlab")
    if Path(sys.prefix) != FOLDER / "cleanlab":
        # Intervals need scipy, which is there.
        os.execv(peers, [str(peers), __file__, *sys.argv[1:]])
    binary = options.binary
    if not binary:
        build = ["cargo", "build", "--locked", "--release", "--workspace", "--bin", "value-benchmark"]
        subprocess.run(build, cwd=ROOT, check=True)
        binary = ROOT / "target/release/value-benchmark"
    seeds = range(1, options.seeds + 1)
    import prepare
    import wrong_labels

    missing = [name for name in prepare.ALL if not (FOLDER / f"{name}.csv").exists()]
    for name in missing:
        prepare.write(name, FOLDER)

    def cifar10n():
        for label in HUMAN:
            for seed in seeds:
                out = FOLDER / f"cifar10n-{label}-{seed}.csv"
                lines(binary, "ranking", f"{options.cifar10n}/train.parquet", label, "clean_label", seed, out)
        wrong_labels.tables(FOLDER, options.seeds, [("CIFAR-10N", [f"cifar10n-{label}" for label in HUMAN])])

    def planted():
        for _, files in wrong_labels.PLANTED:
            for name, kind in (file.rsplit("-", 1) for file in files):
                for seed in seeds:
                    lines(binary, "wrong-labels", FOLDER / f"{name}.csv", kind, seed, FOLDER / f"{name}-{kind}-{seed}.csv")
        wrong_labels.tables(FOLDER, options.seeds, wrong_labels.PLANTED)

    mnist, cifar = options.mnist, options.cifar10n
    offline = [peers, HERE / "offline.py", binary, FOLDER, python("pydvl") if "offline" in options.what else peers]
    parts = {
        "offline": [(True, lambda: subprocess.run(offline, check=True))],
        "wrong-labels": [(True, planted)],
        "cifar10n": [(cifar, cifar10n)],
        "observe": [(mnist, lambda: observe(binary, mnist))],
        "denoise": [(mnist, lambda: denoise(binary, mnist, seeds))],
        "gate": [(True, lambda: gate(binary, mnist, prepare.FRESH + prepare.IMBALANCED, range(1, 4)))],
        "infobatch": [
            (mnist, lambda: infobatch(binary, "MNIST", mnist, 30_000, range(1, options.pairs + 1))),
            (cifar, lambda: infobatch(binary, "CIFAR-10", cifar, 50_000, range(1, 6))),
            (cifar, lambda: infobatch(binary, "CIFAR-10", cifar, 50_000, range(1, 6), 60)),
        ],
        "rho": [(mnist, lambda: rho(binary, mnist, seeds))],
    }
    for what in options.what:
        print(f"\n## {what}", flush=True)
        for there, run in parts[what]:
            if there:
                run()
            else:
                print("\nskipped, for want of --mnist or --cifar10n", flush=True)


if __name__ == "__main__":
    main()
