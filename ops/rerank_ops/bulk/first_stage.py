"""A first stage where there is none: BM25's best documents for each query of a BEIR directory, as a TREC run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from rerank_ops.demo.corpus import Passage
from rerank_ops.demo.first_stage import Bm25Index
from rerank_producer.bulk.files.durable import whole_file
from rerank_producer.bulk.formats.runs.trec import beir_files
from rerank_producer.bulk.formats.runs.trec_scores import spelled
from rerank_producer.bulk.texts.records import text_records
from rerank_producer.bulk.texts.text_store import cache_directory, identity_of

_TAG = "bm25"
#: Documents of each query where no depth says.
DEPTH = 100


def bm25_run(directory: Path, k: int, cache: Path | None = None) -> Path:
    """Return the run of a directory's `k` best documents of each query; the first time, it is made in the cache.

    Raises InputRefused, OSError.
    """
    queries, corpus = beir_files(directory)
    folder = cache or cache_directory()
    folder.mkdir(parents=True, exist_ok=True)
    run = folder / f"bm25-{identity_of(queries)[:16]}-{identity_of(corpus)[:16]}-{k}.trec"
    if not run.exists():
        write_bm25_run(directory, run, k)
    return run


def write_bm25_run(directory: Path, run: Path, k: int) -> int:
    """Write the run of the `k` best documents of each query, and return its queries; one without a hit has no lines.

    The same directory always gives the same bytes. The corpus is held in memory. Raises InputRefused, OSError.
    """
    queries, corpus = beir_files(directory)
    index = Bm25Index([Passage(name, text) for name, text in _once(corpus)])
    temporary = run.with_name(f"{run.name}.{os.getpid()}.tmp")
    found = 0
    with whole_file(run, temporary), temporary.open("w", encoding="utf-8") as file:
        for name, query in _once(queries):
            hits = index.top(query, k)
            found += bool(hits)
            for rank, (hit, score) in enumerate(zip(hits, spelled(hit.bm25 for hit in hits), strict=True), start=1):
                file.write(f"{name} Q0 {hit.id} {rank} {score} {_TAG}\n")
    return found


def _once(path: Path) -> Iterator[tuple[str, str]]:
    """Yield each id with its text, the first one where it stands twice."""
    seen: set[str] = set()
    for _, name, text in text_records(path):
        if name not in seen:
            seen.add(name)
            yield name, text
