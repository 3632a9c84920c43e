"""Gopher quality and repetition, C4 and FineWeb in FineWeb's order: datatrove beside Arable, on the same documents.

    pip install datatrove==0.10.1 spacy==3.8.18 regex
    python benchmarks/clean/filters.py texts.jsonl

CPU seconds of one thread each, stopping at the first filter that drops (datatrove) and with every rule's evidence
(Arable). Both keep the same documents, or the figures are not comparable and the command fails.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

from datatrove.data import Document
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)
from datatrove.utils.text import split_into_parts, split_into_words

texts = sys.argv[1]
filters = [
    GopherRepetitionFilter(),
    GopherQualityFilter(),
    C4QualityFilter(filter_no_terminal_punct=False),
    FineWebQualityFilter(),
]
documents = [json.loads(line)["text"] for line in open(texts, encoding="utf-8")]
size = sum(len(text.encode()) for text in documents) / 1e6
split_into_words("Warm up.")
split_into_parts.cache_clear()

started = time.process_time()
kept = 0
for number, text in enumerate(documents):
    document = Document(text=text, id=str(number))
    kept += all(judge.filter(document) is True for judge in filters)
theirs = time.process_time() - started

workspace = Path(__file__).parents[2]
command = ["cargo", "run", "--release", "--quiet", "-p", "arable-benchmarks", "--bin", "clean-benchmark"]
words = sum(len(split_into_words(text)) for text in documents[:200]) / max(1, len(documents[:200])) * len(documents)

ours = json.loads(subprocess.run([*command, "--", str(Path(texts).resolve())], cwd=workspace, check=True, capture_output=True, text=True).stdout)

print(f"{len(documents)} documents, {size:.1f} MB; kept {kept} and {ours['kept']}")
print(f"datatrove, one thread  {theirs:8.2f} s  {size / theirs:8.2f} MB/s")
print(f"Arable, one thread     {ours['one']:8.3f} s  {size / ours['one']:8.2f} MB/s  {theirs / ours['one']:.0f} times")
print(f"Arable, two threads    {ours['one_wall'] / ours['two_wall']:.2f} times one (wall clock)")
print(f"allocations once warm: {ours['allocations'] / len(documents):.2f} a document, {ours['allocations'] / words:.5f} a word")
sys.exit(kept != ours["kept"])
