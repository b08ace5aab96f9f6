"""Cascades: several models, one after another, as a request with `stages` asks them. Pure.

A pair's score depends on that pair alone, so that a cascade's order follows from each model's scores of all candidates.
It costs no model time. Its times are computed from those of its models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from rerank_ops.evaluate.scoring import ModelScores
from rerank_ops.evaluate.speed import Speed
from rerank_ops.fusion.sweep import ScoredQuery, Variant, deviations_of, order_of
from rerank_shared.errors import ConfigurationError
from rerank_shared.routing.route import Stage
from rerank_shared.routing.stages_text import EXAMPLE, refuse_beyond, stages_of, text_of


@dataclass(frozen=True, slots=True)
class Cascade:
    """A cascade; its stages name models as the table does."""

    stages: tuple[Stage, ...]

    @property
    def name(self) -> str:
        """What its row is called."""
        return text_of(self.stages)


@dataclass(frozen=True, slots=True)
class Cascaded:
    """What a cascade costs: its computed speed, and the share of all stages' pairs that were cut, 0 to 1.

    Either is None where that of a model is unknown.
    """

    stages: tuple[Stage, ...]
    speed: Speed | None
    cut: float | None


@dataclass(frozen=True, slots=True)
class _Answer:
    """An order of a query's documents, as places; `asked` are those that each stage scored."""

    order: tuple[int, ...]
    asked: tuple[tuple[int, ...], ...]


def cascade_of(text: str, models: Sequence[str], k: int) -> Cascade:
    """Return the cascade that `small>big@20` says, of models that are evaluated on `k` candidates.

    Raises ConfigurationError, which names what is wrong.
    """
    stages = stages_of(text, models, option="--cascade")
    if len(stages) < 2:
        raise ConfigurationError(f"--cascade {text!r}: two models or more expected, as in {EXAMPLE}")
    refuse_beyond(stages, k, f"--cascade {text!r}")
    return Cascade(stages)


def cascaded(
    cascade: Cascade, models: Mapping[str, ModelScores], variant: Variant
) -> tuple[dict[str, tuple[str, ...]], Cascaded]:
    """Return the order of every query's documents, and what it costs; `models` has the scores of each stage."""
    scores = [models[stage.model] for stage in cascade.stages]
    ratios = [None if (known := deviations_of(each.queries)) is None else known.ratio for each in scores]
    run, answers = {}, {}
    for stages in zip(*(each.queries for each in scores), strict=True):
        answer = _answered(cascade.stages, stages, variant, ratios)
        run[stages[0].id] = tuple(stages[0].documents[place] for place in answer.order)
        answers[stages[0].id] = answer
    return run, Cascaded(cascade.stages, _speed(scores, answers), _cut(scores, answers))


def _answered(
    stages: Sequence[Stage], queries: Sequence[ScoredQuery], variant: Variant, ratios: Sequence[float | None]
) -> _Answer:
    order: tuple[int, ...] = tuple(range(len(queries[0].documents)))
    asked = []
    for stage, query, ratio in zip(stages, queries, ratios, strict=True):
        best = order[: stage.keep] if isinstance(stage.keep, int) else order
        asked.append(best)
        order = (*(best[place] for place in order_of(query.part(best), variant, ratio)), *order[len(best) :])
    return _Answer(order, tuple(asked))


def _speed(scores: Sequence[ModelScores], answers: Mapping[str, _Answer]) -> Speed | None:
    """Return the sum of the models' times for each query: of the whole list, or of the share of it that a stage scores.

    A share is one of tokens, which the time of a run follows.
    """
    if any(each.speed is None for each in scores):
        return None
    times_ms = [each.again.by_query() for each in scores if each.again is not None]
    timed = [query for query in times_ms[0] if all(query in each for each in times_ms)]
    by_id = [{query.id: query for query in each.queries} for each in scores]
    latencies_ms = [
        sum(
            times[name] * _share(queries[name], asked)
            for times, queries, asked in zip(times_ms, by_id, answers[name].asked, strict=True)
        )
        for name in timed
    ]
    return Speed(latencies_ms, sum(len(answers[name].order) for name in timed), computed=True)


def _share(query: ScoredQuery, asked: Sequence[int]) -> float:
    tokens = query.tokens if any(query.tokens) else (1,) * len(query.documents)
    return sum(tokens[place] for place in asked) / sum(tokens)


def _cut(scores: Sequence[ModelScores], answers: Mapping[str, _Answer]) -> float | None:
    found = list(
        chain.from_iterable(
            (query.cut[place] for place in answers[query.id].asked[number] if query.cut)
            for number, each in enumerate(scores)
            for query in each.queries
        )
    )
    return sum(found) / len(found) if found else None
