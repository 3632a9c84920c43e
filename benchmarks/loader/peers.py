"""One peer, one fresh process: walks the rows of some Parquet files and says what that took.

    python peers.py NAME [--resume] FOLDER
    python peers.py --prepare FOLDER            writes the rows in the formats of the peers that need torch

Prints one JSON object: rows, seconds to the first batch, seconds in all, processor seconds of the walk (imports left
out). With `--resume`, walks to 37 %, takes a checkpoint, restarts from it, and says how many rows were lost and doubled.
Every function takes the files and yields the ids of one batch after another, or the number of its rows.
"""

import glob
import json
import resource
import sys
import time

BATCH = 64


def files_of(folder):
    return sorted(glob.glob(f"{folder}/*.parquet"))


def processor_seconds():
    own = resource.getrusage(resource.RUSAGE_SELF)
    return own.ru_utime + own.ru_stime


def pyarrow_batches(folder):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pa.set_cpu_count(1)
    begun = yield "ready"
    for path in files_of(folder):
        for batch in pq.ParquetFile(path).iter_batches(batch_size=BATCH, use_threads=False):
            yield batch.num_rows


def hf(folder, prepare):
    import datasets
    import pyarrow.dataset  # noqa: F401  (imported by the first batch otherwise)

    datasets.disable_progress_bars()
    yield "ready"
    stream = datasets.load_dataset("parquet", data_files=files_of(folder), split="train", streaming=True)
    for batch in prepare(stream):
        yield len(batch["id"])


def hf_batch(folder):
    return hf(folder, lambda stream: stream.batch(BATCH))


def hf_arrow(folder):
    return hf(folder, lambda stream: stream.with_format("arrow").iter(BATCH))


def hf_shuffle(folder):
    return hf(folder, lambda stream: stream.shuffle(seed=1, buffer_size=10_000).batch(BATCH))


def grain_batch(folder):
    import grain
    from grain.experimental import ParquetIterDataset

    yield "ready"
    for path in files_of(folder):
        for batch in ParquetIterDataset(path).batch(BATCH, batch_fn=list):
            yield len(batch)


def lance_batches(folder):
    import lance

    yield "ready"
    for batch in lance.dataset(f"{folder}/rows.lance").to_batches(batch_size=BATCH):
        yield batch.num_rows


def webdataset_batches(folder):
    import webdataset as wds

    yield "ready"
    tars = sorted(glob.glob(f"{folder}/*.tar"))
    stream = wds.WebDataset(tars, shardshuffle=False).shuffle(1000).decode().to_tuple("__key__", "txt").batched(BATCH)
    for keys, _ in stream:
        yield len(keys)


def mosaic_loader(folder):
    from streaming import StreamingDataLoader, StreamingDataset
    from streaming.base.util import clean_stale_shared_memory

    clean_stale_shared_memory()
    rows = StreamingDataset(local=f"{folder}/mds", shuffle=True, shuffle_seed=7, batch_size=BATCH)
    return StreamingDataLoader(rows, batch_size=BATCH, num_workers=0)


def mosaic_batches(folder):
    import streaming  # noqa: F401  (torch comes with it)

    yield "ready"
    for batch in mosaic_loader(folder):
        yield len(batch["id"])


def litdata_loader(folder):
    import litdata

    rows = litdata.StreamingDataset(f"{folder}/litdata", shuffle=True, seed=7)
    return litdata.StreamingDataLoader(rows, batch_size=BATCH, num_workers=0)


def litdata_batches(folder):
    import litdata  # noqa: F401

    yield "ready"
    for batch in litdata_loader(folder):
        yield len(batch["id"])


PEERS = {
    "pyarrow iter_batches(64)": pyarrow_batches,
    "HF datasets .batch(64)": hf_batch,
    "HF datasets, arrow format, iter(64)": hf_arrow,
    "HF datasets, shuffle(10k).batch(64)": hf_shuffle,
    "Grain ParquetIterDataset.batch(64)": grain_batch,
    "Lance to_batches(64)": lance_batches,
    "webdataset, shuffle(1000), batched(64)": webdataset_batches,
    "Mosaic StreamingDataset, shuffled, 64": mosaic_batches,
    "litdata StreamingDataset, shuffled, 64": litdata_batches,
}
TORCH = ("Mosaic StreamingDataset, shuffled, 64", "litdata StreamingDataset, shuffled, 64")
RESUMABLE = (
    "HF datasets .batch(64)",
    "HF datasets, shuffle(10k).batch(64)",
    "Grain ParquetIterDataset.batch(64)",
    *TORCH,
)


def one_row(row):
    return row


def prepare(folder):
    """Writes the rows as MDS shards (zstd) and as litdata's chunks (zstd)."""
    import pathlib
    import shutil

    import litdata
    import pyarrow.parquet as pq
    from streaming import MDSWriter

    rows = [row for path in files_of(folder) for row in pq.read_table(path).to_pylist()]
    for name in ("mds", "litdata"):
        shutil.rmtree(f"{folder}/{name}", ignore_errors=True)
    with MDSWriter(out=f"{folder}/mds", columns={"id": "int", "text": "str"}, compression="zstd") as out:
        for row in rows:
            out.write(row)
    litdata.optimize(
        fn=one_row, inputs=rows, output_dir=f"{folder}/litdata", chunk_bytes="64MB", compression="zstd", num_workers=1
    )
    pathlib.Path(folder, "torch").touch()


def walk(name, folder):
    batches = PEERS[name](folder)
    next(batches)  # imports are done
    begun, begun_cpu = time.perf_counter(), processor_seconds()
    rows, first = 0, None
    for count in batches:
        if first is None:
            first = time.perf_counter() - begun
        rows += count
    seconds = time.perf_counter() - begun
    return {"rows": rows, "first": first, "seconds": seconds, "cpu": processor_seconds() - begun_cpu}


def hf_stream(folder, shuffled):
    import datasets

    datasets.disable_progress_bars()
    stream = datasets.load_dataset("parquet", data_files=files_of(folder), split="train", streaming=True)
    return stream.shuffle(seed=1, buffer_size=10_000) if shuffled else stream


def resume_hf(folder, total, shuffled):
    """Ids before the checkpoint, and after a restart from it."""
    stream = hf_stream(folder, shuffled)
    before, state = [], None
    for row in stream:
        before.append(row["id"])
        if len(before) == total * 37 // 100:
            state = stream.state_dict()
            break
    begun = time.perf_counter()
    again = hf_stream(folder, shuffled)
    again.load_state_dict(state)
    after, first = [], None
    for row in again:
        if first is None:
            first = time.perf_counter() - begun
        after.append(row["id"])
    return before, after, first


def resume_grain(folder, total):
    from grain.experimental import ParquetIterDataset

    path = files_of(folder)[0]
    make = lambda: iter(ParquetIterDataset(path))  # noqa: E731
    rows, before = make(), []
    import pyarrow.parquet as pq

    total = pq.ParquetFile(path).metadata.num_rows
    for _ in range(total * 37 // 100):
        before.append(int(next(rows)["id"]))
    state = rows.get_state()
    begun = time.perf_counter()
    again = make()
    again.set_state(state)
    after, first = [], None
    for row in again:
        if first is None:
            first = time.perf_counter() - begun
        after.append(int(row["id"]))
    return before, after, first, total


def resume_torch(make, folder, total):
    loader, before = make(folder), []
    for batch in loader:
        before.extend(int(row) for row in batch["id"])
        if len(before) >= total * 37 // 100:
            state = loader.state_dict()
            break
    begun = time.perf_counter()
    again = make(folder)
    again.load_state_dict(state)
    after, first = [], None
    for batch in again:
        if first is None:
            first = time.perf_counter() - begun
        after.extend(int(row) for row in batch["id"])
    return before, after, first


def resume(name, folder):
    import pyarrow.parquet as pq

    total = sum(pq.ParquetFile(path).metadata.num_rows for path in files_of(folder))
    if name.startswith("Grain"):
        before, after, first, total = resume_grain(folder, total)
    elif name.startswith("HF"):
        before, after, first = resume_hf(folder, total, "shuffle" in name)
    elif name.startswith("Mosaic"):
        before, after, first = resume_torch(mosaic_loader, folder, total)
    elif name.startswith("litdata"):
        before, after, first = resume_torch(litdata_loader, folder, total)
    else:
        return None
    seen = set(before) | set(after)
    return {"lost": total - len(seen), "doubled": len(before) + len(after) - len(seen), "first": first}


if __name__ == "__main__":
    name, folder = sys.argv[1], sys.argv[-1]
    if name == "--prepare":
        prepare(folder)
        sys.exit()
    print(json.dumps(resume(name, folder) if "--resume" in sys.argv else walk(name, folder)))
