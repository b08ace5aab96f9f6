"""The outcomes of a request's jobs, put together as if one job had scored all its misses. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from rerank_producer._request.plan import same_scores
from rerank_shared.contract.messages import Artefact, Outcome, Score, Stages
from rerank_shared.errors import MalformedMessage


@dataclass(frozen=True, slots=True)
class Scored:
    """A Score, or None, for each miss of a request. `stages` are those of the slowest job in each stage."""

    scores: tuple[Score | None, ...]
    artefact: Artefact
    workers: tuple[str, ...]
    stages: Stages
    batch_pairs: tuple[int, ...]


def combine(misses: int, parts: Sequence[Sequence[int]], outcomes: Sequence[Outcome | None]) -> Scored | None:
    """Return what the jobs scored, None if none answered; `parts[i]` are the places of job i among the misses.

    Raises MalformedMessage if a worker's answer doesn't fit what it was asked.
    """
    answered = [(part, outcome) for part, outcome in zip(parts, outcomes, strict=True) if outcome is not None]
    if not answered:
        return None
    scores: list[Score | None] = [None] * misses
    for part, outcome in answered:
        if len(outcome.scores) != len(part):
            raise MalformedMessage(
                f"worker {outcome.worker} answered {len(outcome.scores)} scores for the {len(part)} documents of "
                f"job {outcome.job_id}: run the same release of rerank-fleet on producers and workers"
            )
        for place, score in zip(part, outcome.scores, strict=True):
            scores[place] = score
    stages = [outcome.stages for _, outcome in answered]
    return Scored(
        scores=tuple(scores),
        artefact=answered[0][1].artefact,
        workers=tuple(outcome.worker for _, outcome in answered),
        stages=Stages(*(max(getattr(each, field.name) for each in stages) for field in fields(Stages))),
        batch_pairs=tuple(pairs for _, outcome in answered for pairs in outcome.batch_pairs),
    )


def agree(outcomes: Sequence[Outcome | None], known: Artefact | None) -> bool:
    """Whether all answers, and what was cached under `known`, come from weights that give a pair the same score."""
    artefacts = [outcome.artefact for outcome in outcomes if outcome is not None]
    if known is not None:
        artefacts.append(known)
    return all(same_scores(artefacts[0], other) for other in artefacts[1:])
