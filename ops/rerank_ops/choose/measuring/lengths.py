"""Scores of a model at several lengths: a pair that fits is the same at every greater length, and is asked for once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rerank_ops.evaluate.scoring import ModelScores, scored
from rerank_ops.fusion.labelled import LabelledQuery, LabelledSet
from rerank_ops.fusion.sweep import ScoredQuery
from rerank_producer import AsyncRerankClient
from rerank_shared.errors import RunDiffers


async def scores_at(
    client: AsyncRerankClient,
    name: str,
    labelled: LabelledSet,
    max_length: int,
    shorter: ModelScores | None,
    tell: Callable[[], object],
) -> ModelScores:
    """Return a model's scores at a length. Of those of a shorter one, what was not cut is kept.

    `pairs` and `cached` count what was asked for. `tell` is called for each query. Raises as the client does, and
    RunDiffers where the model has changed since.
    """
    wanted = labelled if shorter is None else replace(labelled, queries=_cut_alone(labelled, shorter.queries))
    found = await scored(client, name, wanted, (), options={"max_length": max_length}, tell=tell)
    if shorter is None:
        return found
    refuse_other(found, shorter)
    return replace(found, queries=tuple(map(_joined, shorter.queries, found.queries)))


def refuse_other(one: ModelScores, other: ModelScores) -> None:
    """Raise RunDiffers unless both are scores of the same weights and precision."""
    if (one.model.digest, one.model.precision) != (other.model.digest, other.model.precision):
        raise RunDiffers(
            f"{one.name}: the model is another one than that of {other.name}: it changed meanwhile, or its saved "
            "scores are old. Without --reuse, all are made anew"
        )


def cut_share(queries: Sequence[ScoredQuery]) -> float:
    """Return the share of pairs of which text was cut, 0 to 1."""
    cut = [each for query in queries for each in query.cut]
    return sum(cut) / len(cut) if cut else 0.0


def _cut_alone(labelled: LabelledSet, shorter: Sequence[ScoredQuery]) -> tuple[LabelledQuery, ...]:
    cut: Mapping[str, Sequence[bool]] = {query.id: query.cut for query in shorter}
    return tuple(
        replace(
            query,
            candidates=tuple(each for each, was in zip(query.candidates, cut[query.id], strict=True) if was),
        )
        for query in labelled.queries
    )


def _joined(shorter: ScoredQuery, longer: ScoredQuery) -> ScoredQuery:
    """Return the shorter query with what the longer one has for the pairs that were cut."""
    places = [place for place, was in enumerate(shorter.cut) if was]
    changed: dict[str, Any] = {}
    for part in ("logits", "tokens", "cut"):
        values = list(getattr(shorter, part))
        for place, value in zip(places, getattr(longer, part), strict=True):
            values[place] = value
        changed[part] = tuple(values)
    return replace(shorter, **changed)
