"""What NeMo Curator and Dolma measure of texts, for the modes of `gopher_quality` and `gopher_repetition`.

    pip install --no-deps nemo-curator==1.4.0 dolma==1.2.1 && pip install regex loguru
    python benchmarks/clean/modes.py > loader/src/clean/text/modes/peers.jsonl       # the texts below
    python benchmarks/clean/modes.py texts.jsonl > FOLDER/modes.jsonl                # any texts, for ARABLE_MODES

One line a text: the text, and by peer what each of its filters or attributes measures. Where NeMo Curator divides by
zero (a text without a line) the value is null. Which of several equally frequent n-grams it takes depends on the order
of a set, so there all the values that it may come to are listed. The modules are loaded by themselves, since the packages around them
want much more.
"""

import importlib
import importlib.util
import json
import sys
import types
from collections import Counter
from pathlib import Path


def package(name, **contents):
    """An empty package in the place of a real one, whose modules can be loaded."""
    module = types.ModuleType(name)
    root = Path(ROOTS[name.split(".")[0]])
    module.__path__ = [str(root.joinpath(*name.split(".")[1:]))]
    module.__dict__.update(contents)
    sys.modules[name] = module


ROOTS = {name: importlib.util.find_spec(name).submodule_search_locations[0] for name in ("nemo_curator", "dolma")}
for name in (
    "nemo_curator",
    "nemo_curator.stages",
    "nemo_curator.stages.text",
    "nemo_curator.stages.text.filters",
    "nemo_curator.stages.text.filters.heuristic",
    "nemo_curator.stages.text.filters.heuristic.repetition",
    "nemo_curator.stages.text.utils",
    "dolma",
    "dolma.core",
    "dolma.taggers",
):
    package(name)
package("dolma.core.data_types", DocResult=object, Document=object, Span=lambda *of, **more: (of, more))
package("dolma.core.registry", TaggerRegistry=types.SimpleNamespace(add=lambda *of: lambda tagger: tagger))
package("dolma.core.taggers", BaseTagger=object)
heuristics = "nemo_curator.stages.text.filters.heuristic"
quality = importlib.import_module(f"{heuristics}.string")
repetition = importlib.import_module(f"{heuristics}.repetition.repetition")
gopher = importlib.import_module("dolma.taggers.gopher")

FILTERS = {
    "symbol_to_word": quality.SymbolsToWordsFilter(),
    "word_count": quality.WordCountFilter(),
    "words_without_alphabets": quality.WordsWithoutAlphabetsFilter(),
    "common_english_words": quality.CommonEnglishWordsFilter(stop_at_false=False),
    "mean_word_length": quality.MeanWordLengthFilter(),
    "ellipsis": quality.EllipsisFilter(),
    "bullet_ratio": quality.BulletsFilter(),
    "repeated_lines": repetition.RepeatedLinesFilter(),
    "repeated_paragraphs": repetition.RepeatedParagraphsFilter(),
    "repeated_lines_char": repetition.RepeatedLinesByCharFilter(),
    "repeated_paragraphs_char": repetition.RepeatedParagraphsByCharFilter(),
    **{f"repeating_top_{n}grams": repetition.RepeatingTopNGramsFilter(n) for n in (2, 3, 4)},
    **{f"repeating_dup_{n}gram": repetition.RepeatingDuplicateNGramsFilter(n) for n in range(5, 11)},
}


def nemo(text):
    def score(judge):
        try:
            return judge.score_document(text)
        except ZeroDivisionError:
            return None

    measured = {name: score(judge) for name, judge in FILTERS.items()}
    words = text.split()
    for n in (2, 3, 4):
        counts = Counter(zip(*[words[at:] for at in range(n)]))
        most = max(counts.values(), default=0)
        if most:
            candidates = [" ".join(gram) for gram, count in counts.items() if count == most]
            values = {(len(text) - len(text.replace(gram, ""))) / len(text) for gram in candidates}
            assert measured[f"repeating_top_{n}grams"] in values
            measured[f"repeating_top_{n}grams"] = sorted(values)
    return measured


def dolma(text):
    attributes = gopher.get_attributes(text)
    return {more.get("type", of[2] if len(of) > 2 else None): more.get("score", of[3] if len(of) > 3 else None)
            for of, more in attributes.as_spans()}


PROSE = (
    "The quick brown fox jumps over the lazy dog, and that is what foxes have to do with dogs.\n"
    "Nobody knows who wrote this first; it's been used to try typewriters since 1888.\n"
)
TEXTS = [
    "",
    " ",
    "\n",
    "\n\n\n\n",
    "a",
    "This is a test.",
    "word " * 60,
    "a b a b",
    PROSE,
    PROSE * 3,
    (PROSE + "\n") * 3,
    "Read More\nread more..\n(...)\nand then…\nwell... \n[…]\n",
    "# ## ### #a# #hash ... … a...b […]",
    "• one\n‣ two\n- three\n* four\n● five\n  ◦ six\n⁃\n",
    "the the the THE be to of AND and that have with",
    "naïve Übergrößenträger 漢字 かな 한국어 ٣٤٥ ⅷ ² ½ x",
    "one\x1ctwo\x1dthree\x1e\x1ffour\x85five\u2028six\xa0seven\u3000eight\u200bnine\rten\r\neleven\x0btwelve",
    "don't can't won't e-mail 3.14 U.S.A. a_b x-y-z http://example.com/?q=1",
    "1 2 3 4 5 6 7 8 9 10 11 12",
    "a b c d e f g h i j a b c d e f g h i j a b c d e f g h i j",
    "aa aa aa aa aa aa aa aa aa aa aa aa",
    "to be or not to be that is the question to be or not to be that is the answer " * 4,
    "x y z x y z x y z x y\nx y z\n\nx y z\n\n\nx y z",
    "same line\nsame line\nsame line\nother line\n\nsame line\n",
    "  indented\n  indented\nindented\n\tindented\n",
    "p one\n\np two\n\np one\n\np one\n\n\n\np three",
    "...\n. . .\n…\n...",
    "café cafe\u0301 CAFÉ",
]

texts = TEXTS
if len(sys.argv) > 1:
    texts = (json.loads(line)["text"] for line in open(sys.argv[1], encoding="utf-8"))
for text in texts:
    print(json.dumps({"text": text, "nemo": nemo(text), "dolma": dolma(text)}, ensure_ascii=False))
