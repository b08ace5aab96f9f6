"""Merges the outcomes of a request's shards as if one job had scored all its misses. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from rerank_producer._request.plan import same_scores
from rerank_shared.contract.messages import Outcome, Score, ScoringIdentity, Stages
from rerank_shared.errors import MalformedMessage


@dataclass(frozen=True, slots=True)
class Scored:
    """A Score, or None, for each miss of a request. Each stage is that of the shard that was slowest in it."""

    scores: tuple[Score | None, ...]
    identity: ScoringIdentity
    workers: tuple[str, ...]
    stages: Stages
    batch_pairs: tuple[int, ...]


def combine(misses: int, offsets: Sequence[Sequence[int]], outcomes: Sequence[Outcome | None]) -> Scored | None:
    """Return what the shards scored, None if none is answered; `offsets[i]` are those of shard i among the misses.

    Raises MalformedMessage if a worker's answer doesn't fit what it was asked.
    """
    answered = [(part, outcome) for part, outcome in zip(offsets, outcomes, strict=True) if outcome is not None]
    if not answered:
        return None
    scores: list[Score | None] = [None] * misses
    for part, outcome in answered:
        if len(outcome.scores) != len(part):
            raise MalformedMessage(
                f"worker {outcome.worker} answered {len(outcome.scores)} scores for the {len(part)} documents of "
                f"job {outcome.job_id}: run the same release of rerank-fleet on producers and workers"
            )
        for offset, score in zip(part, outcome.scores, strict=True):
            scores[offset] = score
    stages = [outcome.stages for _, outcome in answered]
    return Scored(
        scores=tuple(scores),
        identity=answered[0][1].identity,
        workers=tuple(outcome.worker for _, outcome in answered),
        stages=Stages(*(max(getattr(each, field.name) for each in stages) for field in fields(Stages))),
        batch_pairs=tuple(pairs for _, outcome in answered for pairs in outcome.batch_pairs),
    )


def agree(outcomes: Sequence[Outcome | None], known: ScoringIdentity | None) -> bool:
    """Whether all outcomes, and the scores cached under `known`, come from identities that score alike."""
    identities = [outcome.identity for outcome in outcomes if outcome is not None]
    if known is not None:
        identities.append(known)
    return all(same_scores(identities[0], other) for other in identities[1:])
