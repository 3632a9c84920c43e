"""Cleaning beside its peers, on the same documents: datatrove, datasketch and rensa beside Arable.

    benchmarks/clean/run TEXTS.jsonl [--documents N] [--index N] [--python PYTHON]

Reads lines with `text`. Every contender runs in a fresh process, one thread, processor time; Arable's two threads by the
wall clock. Installs requirements.txt into target/benchmarks/clean-venv, unless `--python` names one that has them. Fails
where Arable keeps other documents than datatrove does: figures would not be comparable.
"""

import argparse
import json
import os
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
WORKSPACE = HERE.parents[1]


def environment():
    folder = WORKSPACE / "target" / "benchmarks" / "clean-venv"
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", HERE / "requirements.txt"], check=True)
    return str(python)


def run(command):
    one = os.environ | {"OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=WORKSPACE, check=True, capture_output=True, text=True, env=one)
    return json.loads(done.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", type=Path)
    parser.add_argument("--documents", type=int, help="the first so many texts only")
    parser.add_argument("--index", type=int, default=1_000_000, help="documents in Arable's indexes")
    parser.add_argument("--python", help="a Python that has the peers")
    options = parser.parse_args()
    python = options.python or environment()
    texts = options.texts.resolve()
    if options.documents:
        lines = texts.open(encoding="utf-8").readlines()[: options.documents]
        texts = WORKSPACE / "target" / "clean-benchmark.jsonl"
        texts.write_text("".join(lines), encoding="utf-8")
    build = ["cargo", "build", "--release", "--quiet", "-p", "arable-benchmarks", "--bin", "clean-benchmark"]
    subprocess.run(build, cwd=WORKSPACE, check=True)
    arable = [str(WORKSPACE / "target" / "release" / "clean-benchmark")]
    peer = [python, str(HERE / "peers.py")]

    ours, theirs = run([*arable, "filters", str(texts)]), run([*peer, "filters", str(texts)])
    size, documents = ours["bytes"] / 1e6, ours["documents"]
    print(f"{documents} documents, {size:.1f} MB\n")
    print("| Gopher repetition, Gopher quality, C4, FineWeb | CPU s | MB/s | times |\n|---|---|---|---|")
    print(f"| datatrove | {theirs['seconds']:.2f} | {size / theirs['seconds']:.2f} | 1 |")
    print(f"| Arable | {ours['one']:.3f} | {size / ours['one']:.2f} | {theirs['seconds'] / ours['one']:.0f} |")
    print(f"\nkept {theirs['kept']} and {ours['kept']}; two threads {ours['one_wall'] / ours['two_wall']:.2f} times one")
    a_word = ours["allocations"] / theirs["words"]
    print(f"allocations once warm: {ours['allocations'] / documents:.2f} a document, {a_word:.5f} a word")

    signatures, peers = run([*arable, "minhash", str(texts)]), run([*peer, "minhash", str(texts)])
    print("\n| MinHash signatures from raw text | CPU s | MB/s | of rensa |\n|---|---|---|---|")
    rows = peers | {f"Arable, 5-grams of {kind}, 112 minima": signatures[kind] for kind in ("words", "whitespace")}
    rensa = peers["rensa 0.5 RMinHash, 128 minima, its users' shingling"]
    for name, seconds in rows.items():
        print(f"| {name} | {seconds:.3f} | {size / seconds:.1f} | {rensa / seconds:.2f} |")

    print("\n| near-duplicate index | documents | bytes a document, allocated | resident | false | estimated at the end |\n|---|---|---|---|---|---|")
    for name, measured in run([*peer, "index"]).items():
        print(f"| {name} | {measured['documents']} | - | {measured['resident'] / measured['documents']:.0f} | - | - |")
    for kind in ("exact", "bloom"):
        measured = run([*arable, "index", kind, str(options.index)])
        each = [measured[what] / measured["documents"] for what in ("allocated", "resident", "false")]
        estimate = f"{measured['estimated']:.3%}" if measured["estimated"] is not None else "exact"
        print(f"| Arable, {kind} | {measured['documents']} | {each[0]:.1f} | {each[1]:.1f} | {each[2]:.3%} | {estimate} |")
    return ours["kept"] != theirs["kept"]


sys.exit(main())
