"""Domains on which teacher and student are measured: held-out queries, and a judged collection of another kind."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rerank_ops.distil.learned import FEWEST_HELD_OUT, Learned
from rerank_ops.distil.lists import BAND, LearnedList
from rerank_ops.distil.material import Material, digest_of
from rerank_ops.evaluate.first_stages import FirstStage, Hits
from rerank_ops.evaluate.oddities import Oddities
from rerank_ops.evaluate.prepared import BM25, prepared
from rerank_ops.evaluate.sources import source_of
from rerank_ops.fusion.labelled import LabelledQuery, LabelledSet
from rerank_shared.contract.schemas import Document


@dataclass(frozen=True, slots=True)
class Domain:
    """Judged queries with their candidates in first-stage order."""

    name: str
    kind: Literal["held out", "other"]
    judged_by: Literal["judgements", "sources"]
    stage: FirstStage
    labelled: LabelledSet

    @property
    def pairs(self) -> int:
        """Pairs of all queries."""
        return sum(len(query.candidates) for query in self.labelled.queries)

    @property
    def digest(self) -> str:
        """The digest of all texts."""
        texts = [[each.id, each.query, [found.text for found in each.candidates]] for each in self.labelled.queries]
        return digest_of(json.dumps(texts))


def held_out_domain(name: str, stage: str, learned: Learned, material: Material) -> Domain | None:
    """Return the held-out queries with all that the first stage found for each.

    Judged ones alone where there are enough; else pseudo-queries, each with its source as the only relevant document.
    None where there are neither.
    """
    judged = [each for each in learned.held_out if each.judged]
    by_judgements = len(judged) >= FEWEST_HELD_OUT
    chosen = judged if by_judgements else [each for each in learned.held_out if each.kind != "real"]
    if not chosen:
        return None
    qrels = {each.id: dict(material.queries.qrels[each.id]) if by_judgements else _source(each) for each in chosen}
    hits = {each.id: learned.hits[each.id] for each in chosen}
    queries = tuple(_query(each, hits[each.id], material) for each in chosen)
    labelled = LabelledSet(name, queries, qrels)
    return Domain(name, "held out", "judgements" if by_judgements else "sources", FirstStage(stage, hits), labelled)


def other_domain(directory: Path, limit: int, oddities: Oddities) -> Domain:
    """Return a judged collection with candidates by BM25. Raises InputRefused, ConfigurationError, OSError."""
    ready = prepared(source_of(str(directory)), [BM25], [], k=BAND[1], limit=limit, oddities=oddities)
    return Domain(ready.candidates.name, "other", "judgements", ready.stage, ready.candidates)


def _source(each: LearnedList) -> Mapping[str, int]:
    return {candidate.id: 1 for candidate in each.candidates if candidate.source}


def _query(each: LearnedList, hits: Hits, material: Material) -> LabelledQuery:
    """Return a query with the texts that it is asked with: of its source, what is left."""
    left = {candidate.id: candidate.text for candidate in each.candidates}
    texts = ((found, left.get(found) or material.documents[found].whole, score) for found, score in hits)
    return LabelledQuery(each.id, each.query, tuple(Document(id=n, text=text, score=score) for n, text, score in texts))
