"""What `run.py` measures of the peers, each call a fresh process. Prints one JSON object.

    peers.py filters|minhash TEXTS.jsonl
    peers.py index
"""

import json
import sys
import time


def texts():
    return [json.loads(line)["text"] for line in open(sys.argv[2], encoding="utf-8")]


def processor(work):
    started = time.process_time()
    work()
    return time.process_time() - started


def filters():
    from datatrove.data import Document
    from datatrove.pipeline.filters import (
        C4QualityFilter,
        FineWebQualityFilter,
        GopherQualityFilter,
        GopherRepetitionFilter,
    )
    from datatrove.utils.text import split_into_parts, split_into_words

    judges = [
        GopherRepetitionFilter(),
        GopherQualityFilter(),
        C4QualityFilter(filter_no_terminal_punct=False),
        FineWebQualityFilter(),
    ]
    documents = texts()
    split_into_words("Warm up.")
    split_into_parts.cache_clear()
    started = time.process_time()
    kept = 0
    for number, text in enumerate(documents):
        document = Document(text=text, id=str(number))
        # It stops at the first filter that drops, as datatrove's pipeline does.
        kept += all(judge.filter(document) is True for judge in judges)
    seconds = time.process_time() - started
    sample = documents[:: max(1, len(documents) // 50)]
    words = sum(len(split_into_words(text)) for text in sample) / len(sample) * len(documents)
    return {"seconds": seconds, "kept": kept, "words": words}


def shingles(text):
    words = text.split()
    return [" ".join(words[at : at + 5]) for at in range(max(1, len(words) - 4))]


def minhash():
    import rensa
    from datasketch import MinHash
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature

    documents = texts()

    def rensas():
        for text in documents:
            signature = rensa.RMinHash(num_perm=128, seed=42)
            signature.update(shingles(text))
            signature.digest()

    def datasketchs():
        for text in documents:
            signature = MinHash(num_perm=128)
            signature.update_batch([shingle.encode() for shingle in shingles(text)])
            signature.digest()

    config = MinhashConfig(n_grams=5, num_buckets=14, hashes_per_bucket=8)
    theirs = MinhashDedupSignature(output_folder="/dev/null", config=config)

    def datatroves():
        for text in documents:
            grams = theirs.get_shingles(text)
            if grams.size:
                theirs.get_signature(grams)

    return {
        "rensa 0.5 RMinHash, 128 minima, its users' shingling": sorted(processor(rensas) for _ in range(5))[2],
        "datasketch 2.0 MinHash, 128 minima, update_batch": processor(datasketchs),
        "datatrove 0.10 MinhashDedupSignature, 112 minima": processor(datatroves),
    }


def resident():
    line = next(line for line in open("/proc/self/status") if line.startswith("VmRSS:"))
    return int(line.split()[1]) << 10


def index():
    import rensa
    from datasketch import MinHash, MinHashLSH

    def grown(insert, count, make):
        before = resident()
        for number in range(count):
            insert(number, make(number))
        return {"documents": count, "resident": resident() - before}

    def of_rensa(number):
        signature = rensa.RMinHash(num_perm=128, seed=42)
        signature.update([f"{number} {at}" for at in range(8)])
        return signature

    def of_datasketch(number):
        signature = MinHash(num_perm=112)
        signature.update_batch([f"{number} {at}".encode() for at in range(8)])
        return signature

    of_rensa(0), of_datasketch(0)
    lsh, theirs = rensa.RMinHashLSH(threshold=0.75, num_perm=128, num_bands=16), MinHashLSH(num_perm=112, params=(14, 8))
    return {
        "rensa RMinHashLSH, 16 bands of 8": grown(lsh.insert, 50_000, of_rensa),
        "datasketch MinHashLSH, 14 bands of 8": grown(theirs.insert, 20_000, of_datasketch),
    }


print(json.dumps({"filters": filters, "minhash": minhash, "index": index}[sys.argv[1]]()))
