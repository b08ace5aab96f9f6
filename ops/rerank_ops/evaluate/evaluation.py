"""What an evaluation found, with all that it rests on: the whole result, of which reports are made. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rerank_ops.evaluate.cascades import Cascaded
from rerank_ops.evaluate.comparison import Row, compared
from rerank_ops.evaluate.oddities import Oddity
from rerank_ops.evaluate.scoring import ModelScores
from rerank_ops.evaluate.speed import Speed
from rerank_ops.evaluate.systems import System


@dataclass(frozen=True, slots=True)
class Asked:
    """How systems were compared: `k` candidates at most of each query, from the first stage named."""

    data: str
    queries: int
    k: int
    stage: str
    baseline: str
    measures: tuple[str, ...]
    tests: tuple[str, ...]
    correction: str
    seed: int
    max_length: int | None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Rows in the order of a table, the scores of each model, and what was odd about the data.

    `model_of` maps rows to the model that they take the time of, `cascades` those of cascades to what they cost.
    """

    asked: Asked
    rows: tuple[Row, ...]
    models: tuple[ModelScores, ...]
    oddities: tuple[Oddity, ...]
    model_of: Mapping[str, str]
    cascades: Mapping[str, Cascaded] = field(default_factory=dict)

    def scores_of(self, row: Row) -> ModelScores | None:
        """Return the scores that a row was made from; None for a first stage, and for a cascade, which has several."""
        name = self.model_of.get(row.name)
        return next((each for each in self.models if each.name == name), None)

    def speed_of(self, row: Row) -> Speed | None:
        """Return how fast a row is; None where no query was timed, or no model runs."""
        if row.name in self.cascades:
            return self.cascades[row.name].speed
        scores = self.scores_of(row)
        return None if scores is None else scores.speed

    def cut_of(self, row: Row) -> float | None:
        """Return the share of a row's pairs of which text was cut; None where no model runs."""
        if row.name in self.cascades:
            return self.cascades[row.name].cut
        scores = self.scores_of(row)
        return None if scores is None else scores.truncated_share

    def unrepeatable(self) -> list[ModelScores]:
        """Return the models whose logits were others when they were scored again: none should be."""
        return [each for each in self.models if each.largest_difference() != 0.0]


def evaluated(
    asked: Asked,
    systems: Sequence[System],
    qrels: Mapping[str, Mapping[str, int]],
    measures: Sequence[Any],
    models: Sequence[ModelScores],
    oddities: tuple[Oddity, ...],
) -> Evaluation:
    """Return how good systems are, one of which is the baseline. Raises ConfigurationError."""
    rows = compared(
        systems, qrels, measures, asked.baseline, tests=asked.tests, correction=asked.correction, seed=asked.seed
    )
    model_of = {system.name: system.model for system in systems if system.model is not None}
    cascades = {system.name: system.cascade for system in systems if system.cascade is not None}
    return Evaluation(asked, rows, tuple(models), oddities, model_of, cascades)


def as_plain(evaluation: Evaluation) -> dict[str, Any]:
    """Return it ready for JSON, with the values of each query."""
    return {
        "data": evaluation.asked.data,
        "asked": asdict(evaluation.asked),
        "systems": [_row(evaluation, row) for row in evaluation.rows],
        "models": [_model(each) for each in evaluation.models],
        "oddities": [asdict(each) for each in evaluation.oddities],
    }


def _row(evaluation: Evaluation, row: Row) -> dict[str, Any]:
    measures: Sequence[str] = evaluation.asked.measures
    scores, speed = evaluation.scores_of(row), evaluation.speed_of(row)
    cascade = evaluation.cascades.get(row.name)
    return {
        "name": row.name,
        "kind": row.kind,
        "model": None if scores is None else scores.name,
        "stages": [] if cascade is None else [asdict(stage) for stage in cascade.stages],
        "speed": None if speed is None else speed.as_plain(),
        "queries": len(row.queries),
        "means": {measure: row.mean(measure) for measure in measures},
        "comparisons": {measure: asdict(each) for measure, each in row.comparisons.items()},
        "per_query": {
            query: {measure: float(row.values[measure][place]) for measure in measures}
            for place, query in enumerate(row.queries)
        },
    }


def _model(scores: ModelScores) -> dict[str, Any]:
    again, speed = scores.again, scores.speed
    return {
        "name": scores.name,
        **scores.model.model_dump(include={"digest", "precision", "max_length"}),
        "source": scores.model.name,
        "pairs": scores.pairs,
        "pairs_cached": scores.cached,
        "truncated_share": scores.truncated_share,
        "timed": {
            "queries": len(speed.latencies_ms),
            "pairs": speed.pairs,
            "processes": again.processes,
            "host": again.host,
            **{f"p{percent}_ms": speed.latency_ms(percent) for percent in (50, 95, 99)},
            "pairs_per_s": speed.pairs_per_s,
            "largest_difference_of_logits": scores.largest_difference(),
        }
        if again is not None and speed is not None
        else None,
    }
