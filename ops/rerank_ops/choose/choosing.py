"""The choice: cuts what was measured, judges every configuration, picks on one half and confirms on the other. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from rerank_ops.choose.configurations import Configuration
from rerank_ops.choose.curves import Curve, curve_of, on_front
from rerank_ops.choose.cutting import runs_of, values_of
from rerank_ops.choose.latency import Latency, Times
from rerank_ops.choose.load import Cut, Fleet
from rerank_ops.choose.picking import FEW, Halves, best, bias_of, difference, halves_of, picked
from rerank_ops.choose.result import Asked, Choice, Confirmed, Judged, Measured, Option, Picked
from rerank_ops.choose.spreading import Spread, one_by_one
from rerank_ops.evaluate.comparison import measured
from rerank_ops.evaluate.dataset import Labelled
from rerank_ops.evaluate.oddities import Oddity
from rerank_ops.evaluate.systems import Run, System
from rerank_ops.fusion.sweep import ScoredQuery
from rerank_ops.judging.bootstrap import Interval, Values, mean_intervals, paired_difference
from rerank_ops.simulate.trial import TOLERATED

#: Documents of each order that are kept for people to look at.
_SHOWN = 10
#: Share of timed requests that others may have disturbed before it is told.
_DISTURBED = 0.1
#: Ratio of two times beyond which noise is told.
_NOISE = 1.05


@dataclass(frozen=True, slots=True)
class Scored:
    """One model as it was measured, with its scores of the largest k, by length."""

    measured: Measured
    scores: Mapping[int, tuple[ScoredQuery, ...]]

    def cut(self, max_length: int, k: int) -> Cut:
        """Return its requests of a length and k."""
        tokens = {query.id: query.tokens for query in self.scores[max_length]}
        return Cut(self.measured.times, max_length, k, tokens)


@dataclass(frozen=True, slots=True)
class Judgements:
    """What everything is judged by: the queries, the measures of ir_measures, the first stage's order."""

    labelled: Labelled
    measures: Sequence[Any]
    stage: System


def chosen(
    asked: Asked,
    models: Sequence[Scored],
    judgements: Judgements,
    fleet: Fleet,
    oddities: tuple[Oddity, ...],
    spread: Spread = one_by_one,
) -> Choice:
    """Return the choice. `spread` calls a function for many cuts, each of which may take seconds under a rate.

    Raises ConfigurationError for a measure that can't be calculated, InputRefused.
    """
    names = tuple(judgements.labelled.queries)
    halves = halves_of(len(names), asked.seed)
    options = _on_front(asked, models, fleet, list(_options(asked, models, judgements, fleet, spread)), spread)
    stage = measured(judgements.stage, judgements.labelled.qrels, judgements.measures).values
    values, costs = np.array([each.values[asked.measure] for each in options]), [each.work_ms for each in options]
    allowed = [place for place, each in enumerate(options) if each.keeps]
    top = best(values[:, halves.picking], costs, range(len(options)))
    row = picked(values[:, halves.picking], costs, allowed, asked.margin, asked.seed) if allowed else None
    shown = options[top if row is None else row]
    deciding = _Deciding(asked, halves, values, stage[asked.measure])
    return Choice(
        asked=asked,
        models=tuple(each.measured for each in models),
        stage=stage,
        options=tuple(options),
        picked=None if row is None else deciding.picked(row, shown.configuration, costs, allowed),
        confirmed=None if row is None else deciding.confirmed(row, top, options[top].configuration.name),
        nearest=min(options, key=lambda each: (each.latency.missed > TOLERATED, each.latency.p95_ms, each.work_ms)),
        shown=shown.configuration,
        recall_curve=_by_k(asked, options, shown, judgements),
        length_curve=_by_length(asked, options, shown),
        queries=tuple(_judged(judgements, halves, _run(models, shown.configuration))),
        oddities=oddities,
        notes=tuple(_notes(models, len(names))),
    )


@dataclass(frozen=True, slots=True)
class _Deciding:
    """Values of the deciding measure: of each option, a row, and of the first stage."""

    asked: Asked
    halves: Halves
    values: Values
    stage: Values

    def picked(self, row: int, configuration: Configuration, costs: Sequence[float], allowed: Sequence[int]) -> Picked:
        """Return what the half that picks says."""
        here, seed = self.halves.picking, self.asked.seed
        one, stage = self.values[row, here], self.stage[here]
        bias = bias_of(self.values, costs, allowed, self.asked.margin, seed)
        over = paired_difference(one, stage, seed)
        return Picked(configuration, len(here), _mean(one, seed), _mean(stage, seed), over, bias)

    def confirmed(self, row: int, top: int, best_name: str) -> Confirmed:
        """Return what the other half says."""
        here, seed = self.halves.confirming, self.asked.seed
        one, stage = self.values[row, here], self.stage[here]
        return Confirmed(
            queries=len(here),
            figure=_mean(one, seed),
            stage=_mean(stage, seed),
            over_stage=difference(one, stage, self.asked.stage, seed),
            over_best=None if row == top else difference(one, self.values[top, here], best_name, seed),
            best=best_name,
        )


def _mean(values: Values, seed: int) -> Interval:
    return mean_intervals(values[np.newaxis], seed)[0]


def _options(
    asked: Asked, models: Sequence[Scored], judgements: Judgements, fleet: Fleet, spread: Spread
) -> Iterator[Option]:
    qrels = judgements.labelled.qrels
    cuts = [model.cut(length, k) for model in models for length in model.scores for k in asked.ks]
    timed = zip(cuts, spread(partial(_latency, fleet), cuts), strict=True)
    for model in models:
        for length, queries in model.scores.items():
            for k in asked.ks:
                cut, latency = next(timed)
                work_ms = cut.work_ms
                keeps = latency.keeps(asked.p95_ms, TOLERATED)
                for weight, run in zip(asked.weights, runs_of(queries, k, asked.weights, asked.method), strict=True):
                    each = Configuration(model.measured.name, length, k, weight, asked.method)
                    values = values_of(queries, run, qrels, judgements.measures)
                    yield Option(each, values, latency, work_ms, keeps)


def _on_front(
    asked: Asked, models: Sequence[Scored], fleet: Fleet, options: list[Option], spread: Spread
) -> list[Option]:
    """Return the options with what is told of the front alone: the processes that would keep the limit."""
    by_name = {each.measured.name: each for each in models}
    # A simulated fleet that refuses requests is fast for the others: it is behind all that answer.
    times = [each.latency.p95_ms + 1e9 * (each.latency.missed > TOLERATED) for each in options]
    front = on_front(times, [each.mean(asked.measure) for each in options])
    # Weights cost nothing: configurations that differ in them alone are one cut.
    cells = list(dict.fromkeys(_cell(each) for each, is_on_front in zip(options, front, strict=True) if is_on_front))
    cuts = [by_name[name].cut(length, k) for name, length, k in cells]
    processes = dict(zip(cells, spread(partial(_processes, asked.p95_ms, fleet), cuts), strict=True))
    return [
        replace(each, on_front=True, processes=processes[_cell(each)], planned=True) if is_on_front else each
        for each, is_on_front in zip(options, front, strict=True)
    ]


def _latency(fleet: Fleet, cut: Cut) -> Latency:
    return cut.latency(fleet)


def _processes(p95_ms: float, fleet: Fleet, cut: Cut) -> int | None:
    return cut.processes_for(p95_ms, fleet)


def _cell(option: Option) -> tuple[str, int, int]:
    return option.configuration.model, option.configuration.max_length, option.configuration.k


def _by_k(asked: Asked, options: Sequence[Option], shown: Option, judgements: Judgements) -> Curve:
    same = [each for each in options if replace(each.configuration, k=0) == replace(shown.configuration, k=0)]
    recalls = [_recall(judgements, each.configuration.k) for each in same]
    rows = np.array([each.values[asked.measure] for each in same])
    return curve_of([each.configuration.k for each in same], rows, asked.margin, asked.seed, recalls)


def _by_length(asked: Asked, options: Sequence[Option], shown: Option) -> Curve:
    same = [
        each
        for each in options
        if replace(each.configuration, max_length=0) == replace(shown.configuration, max_length=0)
    ]
    rows = np.array([each.values[asked.measure] for each in same])
    return curve_of([each.configuration.max_length for each in same], rows, asked.margin, asked.seed)


def _recall(judgements: Judgements, k: int) -> float:
    """Return the mean share of relevant documents among the first stage's best `k`, which no order of them exceeds."""
    shares = []
    for query, grades in judgements.labelled.qrels.items():
        relevant = {document for document, grade in grades.items() if grade > 0}
        shares.append(len(relevant & set(judgements.stage.run[query][:k])) / len(relevant))
    return float(np.mean(shares))


def _run(models: Sequence[Scored], configuration: Configuration) -> Run:
    model = next(each for each in models if each.measured.name == configuration.model)
    queries = model.scores[configuration.max_length]
    return next(runs_of(queries, configuration.k, [configuration.weight], configuration.method))


def _judged(judgements: Judgements, halves: Halves, now: Run) -> Iterator[Judged]:
    picking = set(halves.picking.tolist())
    for place, (name, text) in enumerate(judgements.labelled.queries.items()):
        yield Judged(
            id=name,
            text=text,
            half="picking" if place in picking else "confirming",
            grades=judgements.labelled.qrels[name],
            was=tuple(judgements.stage.run[name][:_SHOWN]),
            now=tuple(now[name][:_SHOWN]),
        )


def _noise(times: Times) -> Iterator[str]:
    """Yield the worst case where a greater length was faster, which only other work on the machine can make so."""
    p95 = {cell: times.latency(*cell).p95_ms for cell in times.cells}
    found = [
        (p95[short] / p95[long], short, long)
        for short in p95
        for long in p95
        if short[0] < long[0] and short[1] == long[1] and p95[short] > _NOISE * p95[long]
    ]
    if found:
        _, short, long = max(found)
        yield (
            f"times are noisy: p95 of k {short[1]} is {p95[short]:,.0f} ms at {short[0]} tokens and {p95[long]:,.0f} "
            f"ms at {long[0]}; time again on an idle machine, or more queries (--timed)"
        )


def _notes(models: Sequence[Scored], queries: int) -> Iterator[str]:
    if queries < FEW:
        yield f"{queries} queries tell little: each half has {queries // 2} or so; judge more before you rely on this"
    for model in models:
        times = model.measured.times
        yield from (f"{model.measured.name}: {each}" for each in _noise(times))
        if times.busy > _DISTURBED * times.asked:
            yield (
                f"{model.measured.name}: before {times.busy:,} of {times.asked:,} timed requests the fleet had other "
                "work, so that its times are those of a busy fleet; time it again when it is idle"
            )
