"""Writes the facts that the word rules rest on: `characters.txt` and `special_cases.txt`.

    pip install spacy==3.8.18 datatrove==0.10.1
    python english.py ../src/clean/text

What is written are the tables of spaCy's blank English tokenizer (MIT, Explosion) and the punctuation sets of datatrove
(Apache-2.0, Hugging Face), with what Python's `str` says of each character; no text of theirs.
"""

import re
import sys
import unicodedata
from pathlib import Path

import spacy
from datatrove.utils.text import PUNCTUATION, PUNCTUATION_SET, TERMINAL_PUNCTUATION
from spacy.lang import char_classes as spacy_classes
from spacy.pipeline import Sentencizer

tokenizer = spacy.blank("en").tokenizer
prefix, suffix = tokenizer.prefix_search, tokenizer.suffix_search


def one_of(characters):
    return re.compile(f"[{characters}]").match


# The class before a final full stop, as spaCy's suffix rule spells it.
before_stop = one_of(
    r"0-9{al}%²\-\+{p}(?:{q})".format(
        al=spacy_classes.ALPHA_LOWER, p=spacy_classes.PUNCT, q=spacy_classes.CONCAT_QUOTES
    )
)
sentence_ends = set(Sentencizer.default_punct_chars)
# The order is that of the bits in `characters.rs`.
FLAGS = [
    str.isspace,
    one_of(spacy_classes.ALPHA),
    one_of(spacy_classes.ALPHA_LOWER),
    one_of(spacy_classes.ALPHA_UPPER),
    one_of(spacy_classes.CONCAT_QUOTES),
    lambda c: prefix(c) and c != "+",
    suffix,
    lambda c: c == "…" or re.match(spacy_classes.LIST_ICONS[0], c),
    before_stop,
    re.compile(f"(?:{spacy_classes.CURRENCY})$").match,
    str.isalpha,
    re.compile(r"\w").match,
    re.compile(r"\d").match,
    lambda c: unicodedata.category(c).startswith("P"),
    lambda c: c in sentence_ends,
    lambda c: c in PUNCTUATION_SET,
    lambda c: c in TERMINAL_PUNCTUATION,
    lambda c: c in PUNCTUATION,
]


def flags(point):
    character = chr(point)
    return sum(bool(has(character)) << bit for bit, has in enumerate(FLAGS))


def characters():
    runs = []
    for point in range(sys.maxunicode + 1):
        if 0xD800 <= point < 0xE000:
            continue
        value = flags(point)
        if runs and runs[-1][1] == point - 1 and runs[-1][2] == value:
            runs[-1][1] = point
        elif value:
            runs.append([point, point, value])
    for first, last, value in runs:
        yield f"{first:x} {last:x} {value:x}" if last > first else f"{first:x} {value:x}"


def special_cases():
    for text, tokens in sorted(tokenizer.rules.items()):
        if not text.isspace():
            yield "\t".join(token[spacy.symbols.ORTH] for token in tokens)


folder = Path(sys.argv[1])
for name, lines in [("characters.txt", characters()), ("special_cases.txt", special_cases())]:
    folder.joinpath(name).write_text("".join(line + "\n" for line in lines), encoding="utf-8")
