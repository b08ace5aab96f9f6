"""What first-stage scores add to the order, measured through a private fleet; writes build/bench/fusion.json.

python -m rerank_dev.bench.fusion [COLLECTION...] [--limit QUERIES] [--logits FILE]

A COLLECTION is a directory in the layout of BEIR; its candidates come from BM25. The demo's questions are always
measured too. `--logits` keeps the logits of the model in a file, so that a run that was stopped goes on from there.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from rerank_dev.bench.fusion.cost import cost
from rerank_dev.bench.fusion.logits import KnownLogits
from rerank_dev.bench.fusion.quality import pooled, table
from rerank_dev.bench.fusion.render import RESULT
from rerank_dev.bench.record import machine
from rerank_ops.demo.corpus import stdlib_passages
from rerank_ops.demo.first_stage import Bm25Index
from rerank_ops.demo.questions import qrels, stdlib_questions
from rerank_ops.fusion.labelled import LabelledQuery, LabelledSet, from_collection
from rerank_ops.local.fleet import local_fleet
from rerank_ops.quality.collection import K
from rerank_producer import Document
from rerank_shared.settings import load_settings


def main() -> None:
    """Measure, print a summary and write the result."""
    parser = argparse.ArgumentParser(prog="python -m rerank_dev.bench.fusion")
    parser.add_argument("collections", type=Path, nargs="*", metavar="COLLECTION")
    parser.add_argument("--limit", type=int, help="queries of each collection, always the same ones (default: all)")
    parser.add_argument("--logits", type=Path, help="file that keeps the model's logits")
    chosen = parser.parse_args()
    console, figures = Console(), cost()
    known = KnownLogits(chosen.logits)
    tables, sweeps = [], []
    with local_fleet(load_settings(namespace="bench-fusion", log_level="WARNING")) as fleet:
        for labelled in _sets(chosen.collections, chosen.limit):
            scored = asyncio.run(known.complete(fleet.settings, labelled, console))
            found, swept = table(labelled.name.partition(",")[0], scored, labelled.qrels)
            tables.append(found)
            sweeps.append(swept)
    everything = pooled(sweeps)
    for each in (*tables, everything):
        best = max(each.rows, key=lambda row: row.ndcg_at_10)
        console.print(
            f"{each.name}: nDCG@10 first stage {each.first_stage[0]:.4f}, model {each.model[0]:.4f}, best fused "
            f"{best.ndcg_at_10:.4f} ({best.variant.method} {best.variant.weight:g})",
            highlight=False,
        )
    result = {
        "machine": machine(),
        "model": known.model,
        "k": K,
        "collections": [asdict(each) for each in tables],
        "pooled": asdict(everything),
        "cost": [asdict(figure) for figure in figures],
    }
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    console.print(f"written to {RESULT}")


def _sets(collections: Sequence[Path], limit: int | None) -> Iterator[LabelledSet]:
    for directory in collections:
        yield from_collection(directory, limit)
    yield _questions(limit)


def _questions(limit: int | None) -> LabelledSet:
    """Return the demo's questions, those of which BM25 found no candidate left out."""
    questions = stdlib_questions()[:limit]
    index = Bm25Index(stdlib_passages())
    queries = tuple(
        LabelledQuery(
            question.id,
            question.text,
            tuple(Document(id=hit.id, text=hit.text, score=hit.bm25) for hit in index.top(question.text, K)),
        )
        for question in questions
    )
    return LabelledSet("the demo's questions", queries, qrels(questions))


if __name__ == "__main__":
    main()
