"""A tiny labelled collection in the layout of BEIR."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from pathlib import Path

DOCUMENTS = {
    "d1": ("Berlin", "The capital of Germany has four million people."),
    "d2": ("", "A potato is a vegetable."),
    "d3": ("Potatoes", "How to boil a potato: in water."),
    "d4": ("Nothing", ""),
}
QUERIES = {"q1": "how many people live in Berlin", "q2": "boil a potato", "train": "capital of Germany", "bad": "water"}
QRELS = {"q1": {"d1": 1}, "q2": {"d3": 2, "d2": 1, "d1": 0}, "bad": {"d1": 0}}


def write_collection(
    directory: Path,
    queries: Mapping[str, str] = QUERIES,
    qrels: Mapping[str, Mapping[str, int]] = QRELS,
    *,
    flat: bool = False,
) -> Path:
    """Write a tiny collection; `flat` packs the corpus and keeps the judgements beside it, as some copies do."""
    (directory / "qrels").mkdir(parents=True)
    corpus = "".join(
        json.dumps({"_id": name, "title": title, "text": text}) + "\n" for name, (title, text) in DOCUMENTS.items()
    )
    if flat:
        (directory / "corpus.jsonl.gz").write_bytes(gzip.compress(corpus.encode()))
    else:
        (directory / "corpus.jsonl").write_text(corpus)
    lines = [json.dumps({"_id": name, "text": text}) for name, text in queries.items()]
    (directory / "queries.jsonl").write_text("\n".join(lines) + "\n")
    rows = [f"{query}\t{name}\t{grade}" for query, judged in qrels.items() for name, grade in judged.items()]
    path = directory / ("qrels.tsv" if flat else "qrels/test.tsv")
    path.write_text("\n".join(["query-id\tcorpus-id\tscore", *rows]) + "\n")
    return directory
