"""Arable's loader beside its peers on the same rows: makes the data, installs pinned peers, runs each in a fresh process.

    benchmarks/loader/run [--rows N] [--slow-rows N] [--rounds N] [--only TEXT|TEXT] [--json FILE]

Everything that it makes lies under target/benchmarks. Medians over rounds; rounds go over all contenders before the
next begins, so that a busy neighbour harms all alike.
"""

import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import venv

import peers

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
WORK = pathlib.Path(os.environ.get("ARABLE_BENCHMARKS", ROOT / "target" / "benchmarks"))
PYTHON = WORK / "venv" / "bin" / "python"
# Apart from the others: litdata and HF datasets ask for different versions of one package.
TORCH_PYTHON = WORK / "venv-torch" / "bin" / "python"
BATCH = 64
# What the stream may hold: its default, and an eighth of it.
MEMORY = ("1GiB", "128MiB")
# Rows a second below which a contender gets the smaller data, so that a round ends.
SLOW = ("webdataset", "Grain", "Mosaic", "litdata")


def install():
    """The peers, in an environment of their own; whether those that need torch could be had too."""
    for python, requirements in ((PYTHON, "requirements.txt"), (TORCH_PYTHON, "requirements-torch.txt")):
        if not python.exists():
            venv.create(python.parent.parent, with_pip=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--only-binary", ":all:", "-r", HERE / requirements]
        subprocess.run(pip, check=python is PYTHON)
    # What is installed need not run: torch brings gigabytes of libraries, and not every machine has what they ask for.
    works = subprocess.run([TORCH_PYTHON, "-c", "import torch, streaming, litdata"], capture_output=True).returncode == 0
    if not works:
        print("left out: mosaicml-streaming and litdata; torch cannot be had here", file=sys.stderr)
    return works


def build():
    # burn, for its own loader, takes minutes to compile; with the whole workspace's features one build serves all benchmarks.
    wanted = ["--workspace", "--features", "arable-benchmarks/burn", "--bin", "loader-benchmark", "--bin", "burn-benchmark"]
    subprocess.run(["cargo", "build", "--release", "--locked", "--quiet", *wanted], cwd=ROOT, check=True)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return target / "release" / "loader-benchmark"


def burn_of(binary):
    return binary.with_name("burn-benchmark")


MAKE = r"""
import sys, gzip, json, numpy as np, pyarrow as pa, pyarrow.parquet as pq, pathlib, io, tarfile
rows, folder, others = int(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3] == "others"
folder.mkdir(parents=True, exist_ok=True)
random = np.random.default_rng(7)
# Words of 1 to 10 letters, their frequencies by Zipf's law; rows are stretches of one long text, about 380 bytes each.
letters = np.array(list("etaoinshrdlucmfwypvbgkjqxz"))
words = ["".join(random.choice(letters, size=n, p=None)) for n in random.integers(1, 11, size=30_000)]
ranks = np.minimum(random.zipf(1.2, size=6_000_000) - 1, len(words) - 1)
text = " ".join(words[rank] for rank in ranks)
shards = 8
for shard in range(shards):
    ids = np.arange(rows * shard // shards, rows * (shard + 1) // shards)
    starts = random.integers(0, len(text) - 1000, size=len(ids))
    lengths = np.clip(random.normal(380, 90, size=len(ids)).astype(int), 20, 900)
    texts = [text[s:s + n] for s, n in zip(starts, lengths)]
    table = pa.table({"id": ids, "text": texts})
    pq.write_table(table, folder / f"part-{shard}.parquet", compression="zstd", row_group_size=50_000)
    if others:
        lines = ("".join(json.dumps({"id": int(id), "text": body}) + "\n" for id, body in zip(ids, texts))).encode()
        (folder / f"part-{shard}.jsonl.gz").write_bytes(gzip.compress(lines, 6))
        with tarfile.open(folder / f"part-{shard}.tar", "w") as tar:
            for number, body in zip(ids, texts):
                about = tarfile.TarInfo(f"{number:09d}.txt")
                body = body.encode()
                about.size = len(body)
                tar.addfile(about, io.BytesIO(body))
if others:
    import lance
    lance.write_dataset(pa.concat_tables(pq.read_table(path) for path in sorted(folder.glob("*.parquet"))), folder / "rows.lance")
(folder / "done").touch()
"""


def data(rows, others, torch):
    folder = WORK / f"rows-{rows}"
    if not (folder / "done").exists():
        subprocess.run([PYTHON, "-c", MAKE, str(rows), str(folder), "others" if others else ""], check=True)
    if others and torch and not (folder / "torch").exists():
        subprocess.run([TORCH_PYTHON, HERE / "peers.py", "--prepare", str(folder)], check=True)
    def recipe(name, files, memory, more=""):
        (folder / f"{name}.toml").write_text(
            f'seed = 7\n[dataset]\nurl = "{folder}/{files}"\n[batch]\nsize = {BATCH}\n[stream]\nmemory = "{memory}"\n{more}'
        )

    for memory in MEMORY:
        recipe(memory, "*.parquet", memory)
    if others:
        recipe("gz", "*.jsonl.gz", MEMORY[1], f'cache = "{WORK}/cache"\n')
    return folder


def process(command):
    """Runs a contender; what it printed, with processor seconds and peak memory of the whole process."""
    begun = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    out = begun.stdout.read()
    _, status, used = os.wait4(begun.pid, 0)
    begun.returncode = os.waitstatus_to_exitcode(status)
    if begun.returncode != 0:
        return None
    result = json.loads(out.splitlines()[-1])
    # A peer leaves out what its imports took; a Rust process has none.
    result.setdefault("cpu", used.ru_utime + used.ru_stime)
    result["peak"] = used.ru_maxrss / 1024
    return result


def contenders(binary, fast, slow, torch):
    files = sorted(fast.glob("*.parquet"))
    yield "bare parquet decode in Rust, batches of 8192", [binary, "bare", 8192, *files]
    yield "bare parquet decode in Rust, batches of 64", [binary, "bare", BATCH, *files]
    for memory in MEMORY:
        for threads in (1, 2):
            name = f"Arable, shuffled, hashed, {memory}, threads = {threads}"
            yield name, [binary, "stream", fast / f"{memory}.toml", "--threads", threads]
    # The same on one core and on two: what another core is worth.
    for cores, threads in (("0", 1), ("0,1", 2)):
        name = f"Arable, {MEMORY[1]}, pinned to {threads} core(s), threads = {threads}"
        yield name, ["taskset", "-c", cores, binary, "stream", fast / f"{MEMORY[1]}.toml", "--threads", threads]
    for workers in (1, 2) if burn_of(binary).exists() else ():
        yield f"burn DataLoader over rows in memory, num_workers = {workers}", [burn_of(binary), workers, BATCH, *files]
    for name in peers.PEERS:
        if name in peers.TORCH and not torch:
            continue
        folder = slow if name.startswith((*SLOW, "Lance")) else fast
        yield name, [TORCH_PYTHON if name in peers.TORCH else PYTHON, HERE / "peers.py", name, folder]


def median(results, key):
    return statistics.median(result[key] for result in results)


def resume(binary, recipe, total, percent):
    """Arable's checkpoint at `percent`: rows lost and doubled, seconds to the first batch of the restart and of a fresh start."""
    state = WORK / "resume.state"
    stop = total * percent // 100 // BATCH
    before, after = WORK / "before.ids", WORK / "after.ids"
    process([binary, "stream", recipe, "--stop-after", stop, "--save-state", state, "--ids", before])
    process([binary, "stream", recipe, "--resume", state, "--ids", after])
    ids = before.read_text().splitlines() + after.read_text().splitlines()
    seen = len(set(ids))
    # One start is a matter of luck on a busy machine: the medians of several, in turns.
    one = ["--stop-after", 1]
    starts = [(process([binary, "stream", recipe, *one]), process([binary, "stream", recipe, "--resume", state, *one])) for _ in range(7)]
    fresh, again = ([start[which]["first"] for start in starts] for which in (0, 1))
    return {
        "lost": total - seen,
        "doubled": len(ids) - seen,
        "first": statistics.median(again),
        "fresh": statistics.median(fresh),
        "state": state.stat().st_size,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--slow-rows", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="texts, divided by |: contenders with one of them in their name")
    parser.add_argument("--no-install", action="store_true", help="take the environments as they are")
    parser.add_argument("--no-resume", action="store_true")
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--binary", type=pathlib.Path, help="a loader-benchmark that is built already")
    call = parser.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    torch = install() if not call.no_install else TORCH_PYTHON.exists()
    binary = call.binary or build()
    fast, slow = data(call.rows, False, torch), data(call.slow_rows, True, torch)
    wanted = call.only.split("|")
    runs = [(name, command) for name, command in contenders(binary, fast, slow, torch) if any(text in name for text in wanted)]
    results = {name: [] for name, _ in runs}
    for _ in range(call.rounds):
        for name, command in runs:
            result = process(command)
            if result is None:
                print(f"failed: {name}", file=sys.stderr)
            else:
                results[name].append(result)
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; medians of {call.rounds} runs; "
          f"{call.rows} rows ({call.slow_rows} for {', '.join(SLOW)} and Lance)\n")
    print("| loader | rows per CPU-second | rows/s | seconds to first batch | peak MiB |\n|---|---|---|---|---|")
    for name, of in results.items():
        if of:
            rate = statistics.median(result["rows"] / result["cpu"] for result in of)
            wall = statistics.median(result["rows"] / result["seconds"] for result in of)
            print(f"| {name} | {rate / 1000:,.0f}k | {wall / 1000:,.0f}k | {median(of, 'first'):.3f} | {median(of, 'peak'):,.0f} |")
    report = {"runs": results}
    if not call.no_resume:
        print("\n| checkpoint at 37 %, then a restart | rows lost | rows doubled | seconds to first batch |\n|---|---|---|---|")
        report["resume"] = {}
        stored = {"Parquet": (fast / f"{MEMORY[1]}.toml", call.rows), ".jsonl.gz, unpacked in the cache": (slow / "gz.toml", call.slow_rows)}
        for kind, (recipe, rows) in stored.items():
            for percent in (37, 5, 95):
                arable = resume(binary, recipe, rows, percent)
                place = "" if percent == 37 else f", at {percent} %"
                print(f"| Arable, {kind}{place} (a fresh start: {arable['fresh']:.3f} s; state {arable['state']} bytes) | {arable['lost']} | {arable['doubled']} | {arable['first']:.3f} |", flush=True)
                report["resume"][f"Arable, {kind}, {percent} %"] = arable
        for name in peers.RESUMABLE:
            if name in peers.TORCH and not torch:
                continue
            of = process([TORCH_PYTHON if name in peers.TORCH else PYTHON, HERE / "peers.py", name, "--resume", slow])
            if of:
                report["resume"][name] = of
                print(f"| {name} | {of['lost']} | {of['doubled']} | {of['first']:.3f} |")
    if call.json:
        call.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
