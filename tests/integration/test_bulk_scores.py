"""A TREC run through the fleet and back has the scores of a loop over the same engine in one process."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from conftest import StartFleet
from rerank_ops.demo.corpus import stdlib_passages
from rerank_ops.demo.first_stage import Bm25Hit, Bm25Index
from rerank_ops.demo.questions import stdlib_questions
from rerank_producer.bulk.bulk_run import carry_out
from rerank_producer.bulk.formats.rows import ReadOptions, WriteOptions
from rerank_producer.bulk.formats.runs.trec import opened_texts, trec
from rerank_producer.bulk.spec import BulkSpec
from rerank_worker.engine.whole import run_engine
from rerank_worker.loading import load

pytestmark = pytest.mark.integration
QUESTIONS, K = 4, 12
TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True)
class Collection:
    """Some questions of the demo, the best of BM25 for each, and their files."""

    questions: dict[str, str]
    hits: dict[str, list[Bm25Hit]]
    run: Path
    queries: Path
    corpus: Path


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    folder = tmp_path_factory.mktemp("collection")
    run_path, queries, corpus = (folder / name for name in ("bm25.trec", "queries.tsv", "corpus.jsonl"))
    questions = {question.id: question.text for question in stdlib_questions()[:QUESTIONS]}
    index = Bm25Index(stdlib_passages())
    hits = {name: index.top(text, K) for name, text in questions.items()}
    queries.write_text("".join(f"{name}\t{text}\n" for name, text in questions.items()))
    texts = {hit.id: hit.text for found in hits.values() for hit in found}
    corpus.write_text("".join(json.dumps({"_id": name, "text": text}) + "\n" for name, text in texts.items()))
    lines = [
        f"{name} Q0 {hit.id} {rank} {hit.bm25} bm25\n"
        for name, found in hits.items()
        for rank, hit in enumerate(found, start=1)
    ]
    run_path.write_text("".join(lines))
    return Collection(questions, hits, run_path, queries, corpus)


def test_a_run_is_scored_as_by_the_engine_alone(
    start_fleet: StartFleet, collection: Collection, tmp_path: Path
) -> None:
    settings = start_fleet(2).settings
    form = trec(
        collection.run,
        opened_texts(collection.queries, collection.corpus, tmp_path),
        ReadOptions(chunk_bytes=600),
        WriteOptions(tag="fleet"),
    )
    summary = asyncio.run(carry_out(BulkSpec(form, tmp_path / "out.trec"), settings=settings))
    assert (summary.totals.queries, summary.totals.failed_queries) == (QUESTIONS, 0)
    assert summary.totals.chunks > 1
    scored: dict[str, dict[str, float]] = {}
    for line in (tmp_path / "out.trec").read_text().splitlines():
        name, _, document, rank, score, tag = line.split(" ")
        assert (int(rank), tag) == (len(scored.setdefault(name, {})) + 1, "fleet")
        scored[name][document] = float(score)
    model = load(settings)
    for name, question in collection.questions.items():
        hits = collection.hits[name]
        pairs = model.scorer.encode(question, [hit.text for hit in hits], model.identity.max_length)
        logits = run_engine(model.scorer, pairs)
        expected = {hit.id: float(logit) for hit, logit in zip(hits, logits, strict=True)}
        assert scored[name] == pytest.approx(expected, abs=TOLERANCE)
        assert list(scored[name]) == sorted(expected, key=lambda document: -expected[document])
