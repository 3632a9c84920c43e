"""What datatrove says of the texts of a JSONL file: its words, verdicts, reasons and output texts, a line a text.

    pip install datatrove==0.10.1 spacy==3.8.18 regex tokenizers xxhash==3.5.0
    python verdicts.py texts.jsonl > golden/datatrove.jsonl

Reads lines with `text`. `minhash` is the signature of 14 bands of 8, in a row. `ARABLE_GOLDEN=golden cargo test -p
arable-loader parity` compares Arable with the result.
"""

import json
import sys

from datatrove.data import Document
from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature
from datatrove.pipeline.filters import (
    C4ParagraphFilter,
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)
from datatrove.pipeline.formatters import PIIFormatter
from datatrove.utils.text import split_into_sentences, split_into_words

FILTERS = {
    "gopher_quality": GopherQualityFilter(),
    "gopher_repetition": GopherRepetitionFilter(),
    "c4": C4QualityFilter(),
    "c4_fineweb": C4QualityFilter(filter_no_terminal_punct=False),
    "c4_sentences": C4QualityFilter(split_paragraph=False),
    "c4_paragraph": C4ParagraphFilter(),
    "fineweb": FineWebQualityFilter(),
}
MINHASH = MinhashDedupSignature(output_folder="/dev/null", config=MinhashConfig(n_grams=5, num_buckets=14, hashes_per_bucket=8))
REWRITES = {"c4", "c4_fineweb", "c4_sentences"}


def verdict(judge, text):
    document = Document(text=text, id="0")
    try:
        result = judge.filter(document)
    except ZeroDivisionError:
        return "zero_division", None
    keep = result is True
    return ("keep" if keep else result[1]), (document.text if keep else None)


for number, line in enumerate(sys.stdin if sys.argv[1] == "-" else open(sys.argv[1], encoding="utf-8")):
    text = json.loads(line)["text"]
    row = {"id": number, "text": text, "words": split_into_words(text)}
    row["sentences"] = split_into_sentences(text)
    for name, judge in FILTERS.items():
        row[name], output = verdict(judge, text)
        if name in REWRITES:
            row[name + "_text"] = output
    pii = PIIFormatter().format(text)
    row["pii"] = None if pii == text else pii
    shingles = MINHASH.get_shingles(text)
    row["minhash"] = [minimum for band in MINHASH.get_signature(shingles) for minimum in band] if shingles.size else None
    print(json.dumps(row, ensure_ascii=False))
