"""First stages: BM25, embedders, other systems' runs, and rank fusion of several. Only what they found is ranked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rerank_ops.demo.corpus import Passage
from rerank_ops.demo.first_stage import Bm25Index
from rerank_ops.dense.embedder_files import EmbedderFiles
from rerank_ops.evaluate.oddities import Oddities
from rerank_producer.bulk.files.sources import open_source
from rerank_producer.bulk.formats.runs.run_lines import RunLine, trec_line
from rerank_producer.fusion.lists import K as RRF_K
from rerank_shared.errors import InputRefused, InvalidRequest

if TYPE_CHECKING:
    from rerank_ops.dense.embedding import Progress

#: Documents with their scores, best first.
Hits = tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class FirstStage:
    """What a first stage found for each query; nothing for a query that it lacks."""

    name: str
    hits: Mapping[str, Hits]

    def cut(self, k: int) -> FirstStage:
        """Return its best `k` documents of each query."""
        return FirstStage(self.name, {query: hits[:k] for query, hits in self.hits.items()})

    def documents(self) -> set[str]:
        """Return all documents that it found."""
        return {document for hits in self.hits.values() for document, _ in hits}

    def among(self, documents: Set[str], oddities: Oddities) -> FirstStage:
        """Return it without documents that are not there, which are noted."""
        missing = sorted(self.documents() - documents)
        if not missing:
            return self
        oddities.note(f"documents of {self.name} that are not in the corpus, left out", missing)
        kept = {query: tuple(hit for hit in hits if hit[0] in documents) for query, hits in self.hits.items()}
        return FirstStage(self.name, kept)


def bm25(texts: Mapping[str, str], queries: Mapping[str, str], k: int) -> FirstStage:
    """Return the best `k` documents by BM25 of each query; a document that shares no word with it is not found."""
    index = Bm25Index([Passage(name, text) for name, text in texts.items()])
    return FirstStage(
        "bm25", {name: tuple((hit.id, hit.bm25) for hit in index.top(query, k)) for name, query in queries.items()}
    )


def dense(
    name: str,
    files: EmbedderFiles,
    texts: Mapping[str, str],
    queries: Mapping[str, str],
    k: int,
    tell: Progress = lambda done, total: None,
) -> FirstStage:
    """Return the `k` documents nearest to each query, by an embedder; `tell` hears how much is embedded.

    Raises ModelDamaged, OSError.
    """
    # Needs onnxruntime, which other first stages do without.
    from rerank_ops.dense.retrieval import retrieved

    return FirstStage(name, retrieved(files, texts, queries, k, tell=tell))


def run_of(name: str, path: Path, queries: Set[str], oddities: Oddities) -> FirstStage:
    """Return what a TREC run found for some queries: by score, as evaluators read it; ties in the order of the file.

    Raises InputRefused with file and line, OSError.
    """
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for line in _lines(path):
        if line.query not in queries:
            continue
        if line.document in found[line.query]:
            oddities.note(
                f"documents that stand twice for a query in {name}, of which the first counts",
                [f"{line.query} {line.document}"],
            )
            continue
        found[line.query][line.document] = line.score or 0.0
    if not found:
        raise InputRefused(f"{path} has none of the judged queries; are the ids the same ones?")
    return FirstStage(
        name, {query: tuple(sorted(hits.items(), key=lambda hit: -hit[1])) for query, hits in found.items()}
    )


def rrf(stages: Sequence[FirstStage], queries: Iterable[str]) -> FirstStage:
    """Return the reciprocal rank fusion of first stages; of equal documents the one that was met first is better."""
    fused: dict[str, Hits] = {}
    for query in queries:
        scores: dict[str, float] = defaultdict(float)
        for stage in stages:
            for rank, (document, _) in enumerate(stage.hits.get(query, ()), start=1):
                scores[document] += 1 / (RRF_K + rank)
        fused[query] = tuple(sorted(scores.items(), key=lambda hit: -hit[1]))
    return FirstStage("rrf", fused)


def _lines(path: Path) -> Iterable[RunLine]:
    with open_source(path) as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                yield trec_line(line)
            except InvalidRequest as error:
                raise InputRefused(f"{path}, line {number}: {error.message}") from None
