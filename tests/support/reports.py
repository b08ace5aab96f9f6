"""Evidence of a report, from files of a tiny collection and made-up logits; no fleet is needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rerank_ops.evaluate.comparison import measures_of
from rerank_ops.evaluate.evaluation import Asked, evaluated
from rerank_ops.evaluate.oddities import Oddities
from rerank_ops.evaluate.prepared import Prepared, prepared
from rerank_ops.evaluate.scoring import Again, ModelScores
from rerank_ops.evaluate.sources import Files
from rerank_ops.evaluate.systems import systems_of
from rerank_ops.fusion.sweep import ScoredQuery
from rerank_ops.report.evidence import Evidence
from rerank_ops.report.made import Made
from rerank_shared.contract.schemas import ModelInfo

MADE = Made(
    datetime(2026, 11, 30, 4, 5, tzinfo=UTC), "rerank-fleet evaluate tiny", {"rerank-fleet": "1.2.3"}, {"RERANK_K": "5"}
)


def evidence(
    folder: Path,
    documents: Mapping[str, str],
    queries: Mapping[str, str],
    qrels: Mapping[str, Mapping[str, int]],
    *,
    models: Mapping[str, Mapping[str, Sequence[float]]] | None = None,
    k: int = 50,
    measures: Sequence[str] = ("nDCG@10", "RR@10"),
    drift: float = 0.0,
    timed: bool = True,
) -> Evidence:
    """Return the evidence of a collection; `models` are logits in first-stage order, {model: {query: logits}}.

    `drift` is added to a logit the second time.
    """
    for name, lines in (
        ("corpus.tsv", [f"{name}\t{text}" for name, text in documents.items()]),
        ("queries.tsv", [f"{name}\t{text}" for name, text in queries.items()]),
        ("qrels.txt", [f"{query} 0 {name} {grade}" for query, found in qrels.items() for name, grade in found.items()]),
    ):
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    source = Files("tiny", folder / "queries.tsv", folder / "corpus.tsv", folder / "qrels.txt")
    oddities = Oddities()
    ready = prepared(source, ["bm25"], [], k=k, limit=None, oddities=oddities)
    scores = [_scores(ready, name, logits, drift, timed=timed) for name, logits in (models or {}).items()]
    wanted = measures_of(measures)
    systems = systems_of(ready.systems, scores, "bm25", "weighted", [1.0])
    asked = Asked(
        "tiny", len(ready.labelled.queries), k, "bm25", "bm25", tuple(map(str, wanted)), ("t", "randomisation"),
        "holm", 0, None,
    )  # fmt: skip
    found = evaluated(asked, systems, ready.labelled.qrels, wanted, scores, oddities.listed())
    return Evidence(found, ready, {system.name: system for system in systems}, source.identity(), MADE)


def _scores(
    ready: Prepared, name: str, logits: Mapping[str, Sequence[float]], drift: float, *, timed: bool
) -> ModelScores:
    queries = tuple(
        ScoredQuery(
            query.id,
            tuple(str(each.id) for each in query.candidates),
            tuple(float(logits[query.id][place]) for place in range(len(query.candidates))),
            tuple(each.score for each in query.candidates),
        )
        for query in ready.candidates.queries
    )
    first = queries[0]
    second = {first.id: tuple(logit + drift for logit in first.logits)}
    again = Again(second, (20.0,), processes=2, host="a host") if timed and first.logits else None
    model = ModelInfo(name=name, digest="ab" * 32, precision="int8-row-avx512-1", max_length=512)
    pairs = sum(len(query.documents) for query in queries)
    return ModelScores(name, model, queries, pairs, truncated=0, cached=0, again=again)
