"""Peers of `unicode` and `html` on the same data: ftfy, trafilatura, readability-lxml and jusText, one thread, CPU time.

    pip install ftfy==6.3.1 trafilatura readability-lxml lxml_html_clean justext pyarrow zstandard
    python benchmarks/clean/repair_peers.py FOLDER

FOLDER holds `webpages/pages.parquet` and `terms/terms.jsonl.zst`. Arable's own figures come from
`cargo run --release -p arable-tests --bin detection -- FOLDER`.
"""

import io
import json
import logging
import re
import sys
import time
from pathlib import Path

import ftfy
import justext
import lxml.html
import pyarrow.parquet
import readability
import trafilatura
import zstandard

logging.disable(logging.CRITICAL)
FOLDER = Path(sys.argv[1])
STOP_WORDS = frozenset().union(
    *(justext.get_stoplist(language) for language in ("English", "German", "French", "Spanish"))
)


def plain(text):
    return " ".join(text.split())


def decoded(page):
    try:
        return page.decode("utf-8")
    except UnicodeDecodeError:
        named = re.search(rb"charset=[\"']?([\w-]+)", page[:4096])
        return page.decode(named.group(1).decode() if named else "cp1252", "replace")


EXTRACTORS = {
    "trafilatura": lambda page: trafilatura.extract(page, include_comments=False) or "",
    "trafilatura, precision": lambda page: trafilatura.extract(page, include_comments=False, favor_precision=True) or "",
    "readability-lxml": lambda page: lxml.html.fromstring(readability.Document(page).summary()).text_content(),
    "jusText": lambda page: "\n".join(
        paragraph.text for paragraph in justext.justext(page.encode(), STOP_WORDS) if not paragraph.is_boilerplate
    ),
}


def main_text():
    pages = pyarrow.parquet.read_table(FOLDER / "webpages/pages.parquet").to_pylist()
    for page in pages:
        page["html"] = decoded(page["html"])
    size = sum(len(page["html"].encode()) for page in pages)
    for name, extract in EXTRACTORS.items():
        keep = kept = drop = dropped = 0
        spent = 0.0
        for page in pages:
            start = time.process_time()
            try:
                text = extract(page["html"])
            except Exception:  # a page that a peer cannot read has no main text
                text = ""
            spent += time.process_time() - start
            text = plain(text)
            keep += len(page["keep"])
            kept += sum(plain(segment) in text for segment in page["keep"])
            drop += len(page["drop"])
            dropped += sum(plain(segment) not in text for segment in page["drop"])
        precision, recall = kept / (kept + drop - dropped), kept / keep
        f1 = 2 * precision * recall / (precision + recall)
        print(
            f"{name}: {recall:.4f} kept, {dropped / drop:.4f} dropped, precision {precision:.4f}, F1 {f1:.4f}, "
            f"{size / 1e6 / spent:.1f} MB/s"
        )


def mojibake():
    unpacked = zstandard.ZstdDecompressor(max_window_size=2**27).stream_reader(open(FOLDER / "terms/terms.jsonl.zst", "rb"))
    lines = io.TextIOWrapper(unpacked, encoding="utf-8")
    texts = [json.loads(line)["text"] for index, line in enumerate(lines) if index % 20 == 0]
    # What Arable's defaults are: datatrove's FTFYFormatter with a normal form.
    config = ftfy.TextFixerConfig(
        explain=False,
        fix_latin_ligatures=False,
        fix_character_width=False,
        uncurl_quotes=False,
        fix_line_breaks=False,
    )
    start = time.process_time()
    for text in texts:
        ftfy.fix_text(text, config)
    size = sum(len(text.encode()) for text in texts)
    print(f"ftfy: {size / 1e6 / (time.process_time() - start):.1f} MB/s on every twentieth of the terms")


if __name__ == "__main__":
    main_text()
    mojibake()
