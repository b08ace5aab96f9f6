"""What a choice found, with all that it rests on; `as_plain` is what reports are made of. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rerank_ops.choose.configurations import Configuration
from rerank_ops.choose.curves import Curve
from rerank_ops.choose.latency import Latency, Times
from rerank_ops.choose.picking import Bias, Difference
from rerank_ops.evaluate.oddities import Oddity
from rerank_ops.judging.bootstrap import Interval, Values
from rerank_shared.contract.schemas import ModelInfo
from rerank_shared.keys import FusionMethod


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked: the limit of the 95th percentile, what is compared, and the fleet that times are for.

    `measure` decides; `margin` is the loss in it that counts as none. `rate` is in requests a second; None: one at a
    time.
    """

    data: str
    queries: int
    stage: str
    p95_ms: float
    measure: str
    measures: tuple[str, ...]
    margin: float
    ks: tuple[int, ...]
    method: FusionMethod
    weights: tuple[float, ...]
    processes: int
    rate: float | None
    seed: int


@dataclass(frozen=True, slots=True)
class Option:
    """A configuration with its quality and its cost.

    `values` are by measure, one a query. `work_ms` is the mean time of one process for a request, by which the cheaper
    one is told. `keeps`: within the limit. `processes` would keep it, None: no number does.
    """

    configuration: Configuration
    values: Mapping[str, Values]
    latency: Latency
    work_ms: float
    keeps: bool
    on_front: bool = False
    processes: int | None = None
    planned: bool = False

    def mean(self, measure: str) -> float:
        """Return the mean over all queries."""
        return float(self.values[measure].mean())


@dataclass(frozen=True, slots=True)
class Measured:
    """One model as it was measured: `name` is its row's, `source` what was asked for.

    Of the `pairs` of all lengths, `scored` were asked for: a pair that fits is the same pair at every greater length.
    `cached` of those had a score. `truncated` is the share of pairs that were cut, by length.
    """

    name: str
    source: str
    info: ModelInfo
    lengths: tuple[int, ...]
    pairs: int
    scored: int
    cached: int
    truncated: Mapping[int, float]
    times: Times


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The picked configuration on the queries that did not pick it. Each figure is a mean, with its 95 % interval.

    `best` is the configuration that was best regardless of time; `over_best` is None where that is the picked one.
    """

    queries: int
    figure: Interval
    stage: Interval
    over_stage: Difference
    over_best: Difference | None
    best: str


@dataclass(frozen=True, slots=True)
class Picked:
    """What was picked, on how many queries, and what it and the first stage are worth on those. `bias` is by chance."""

    configuration: Configuration
    queries: int
    figure: Interval
    stage: Interval
    over_stage: Interval
    bias: Bias


@dataclass(frozen=True, slots=True)
class Judged:
    """One query: its half, its judgements, and the first documents of both orders, for people to look at."""

    id: str
    text: str
    half: str
    grades: Mapping[str, int]
    was: tuple[str, ...]
    now: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """The whole result. `picked` and `confirmed` are None where nothing keeps the limit; `nearest` is then the fastest.

    Curves and orders of queries are those of `shown`, over all queries: the picked configuration, or without one the
    best regardless of time.
    """

    asked: Asked
    models: tuple[Measured, ...]
    stage: Mapping[str, Values]
    options: tuple[Option, ...]
    picked: Picked | None
    confirmed: Confirmed | None
    nearest: Option
    shown: Configuration
    recall_curve: Curve
    length_curve: Curve
    queries: tuple[Judged, ...]
    oddities: tuple[Oddity, ...]
    notes: tuple[str, ...]

    def option(self, configuration: Configuration) -> Option:
        """Return the option of a configuration."""
        return next(each for each in self.options if each.configuration == configuration)

    def model(self, name: str) -> Measured:
        """Return a model by its row's name."""
        return next(each for each in self.models if each.name == name)

    @property
    def front(self) -> list[Option]:
        """The options on the front of quality and time, the fastest first."""
        return sorted((each for each in self.options if each.on_front), key=lambda each: each.latency.p95_ms)


def as_plain(choice: Choice, verdict: Sequence[str]) -> dict[str, Any]:
    """Return it ready for JSON, with the verdict's sentences and the values of each query.

    An infinite number is the text "inf".
    """
    measure = choice.asked.measure
    names = [query.id for query in choice.queries]
    plain = {
        "verdict": list(verdict),
        "asked": asdict(choice.asked),
        "models": [_model(each) for each in choice.models],
        "first_stage": {
            "name": choice.asked.stage,
            "means": {name: float(values.mean()) for name, values in choice.stage.items()},
            "per_query": dict(zip(names, choice.stage[measure].tolist(), strict=True)),
        },
        "configurations": [_option(each, measure, names) for each in choice.options],
        "picked": None if choice.picked is None else _picked(choice.picked),
        "confirmed": None if choice.confirmed is None else asdict(choice.confirmed),
        "nearest": choice.nearest.configuration.name,
        "shown": choice.shown.name,
        "recall_curve": asdict(choice.recall_curve),
        "length_curve": asdict(choice.length_curve),
        "queries": [asdict(each) for each in choice.queries],
        "oddities": [asdict(each) for each in choice.oddities],
        "notes": list(choice.notes),
    }
    return dict(_finite(plain))


def _option(option: Option, measure: str, names: Sequence[str]) -> dict[str, Any]:
    return {
        "name": option.configuration.name,
        **asdict(option.configuration),
        "means": {name: float(values.mean()) for name, values in option.values.items()},
        "p50_ms": option.latency.p50_ms,
        "p95_ms": option.latency.p95_ms,
        "p99_ms": option.latency.p99_ms,
        "latency_is": option.latency.origin,
        "missed_share": option.latency.missed,
        "work_ms": option.work_ms,
        "keeps": option.keeps,
        "on_front": option.on_front,
        "processes_for_p95": option.processes,
        "processes_were_planned": option.planned,
        "per_query": dict(zip(names, option.values[measure].tolist(), strict=True)),
    }


def _picked(picked: Picked) -> dict[str, Any]:
    plain = asdict(picked)
    return plain | {"name": picked.configuration.name, "bias": plain["bias"] | {"mean": picked.bias.mean}}


def _model(model: Measured) -> dict[str, Any]:
    times = model.times
    return {
        "name": model.name,
        "source": model.source,
        **model.info.model_dump(include={"digest", "precision", "max_length"}),
        "lengths": list(model.lengths),
        "pairs": model.pairs,
        "pairs_scored": model.scored,
        "pairs_cached": model.cached,
        "truncated_share": {str(length): share for length, share in model.truncated.items()},
        "timed": {
            "processes": times.processes,
            "host": times.host,
            "requests": times.asked,
            "requests_while_busy": times.busy,
            "largest_difference_of_logits": times.unequal,
            "cost": asdict(times.cost),
            "cells": list(_cells(times)),
        },
    }


def _cells(times: Times) -> Iterator[dict[str, Any]]:
    for (max_length, k), latencies in sorted(times.cells.items()):
        found = times.latency(max_length, k)
        yield {
            "max_length": max_length,
            "k": k,
            "p50_ms": found.p50_ms,
            "p95_ms": found.p95_ms,
            "p99_ms": found.p99_ms,
            "latencies_ms": dict(latencies),
        }


def _finite(value: Any) -> Any:
    """Return plain data without what JSON can't hold."""
    if isinstance(value, float) and not math.isfinite(value):
        return "inf" if value > 0 else None
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, list | tuple) else value
