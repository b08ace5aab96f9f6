"""Comparison of systems: every measure of each, and whether its difference to a baseline is more than chance. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from subprocess import SubprocessError
from typing import Any

import ir_measures
import numpy as np

from rerank_ops.evaluate.systems import Kind, System
from rerank_ops.judging.bootstrap import Interval, Values, paired_difference
from rerank_ops.judging.measures import values_by_question
from rerank_ops.judging.significance import CORRECTIONS, TESTS
from rerank_shared.errors import ConfigurationError

#: Kinds of systems that are held against a baseline.
COMPARED: tuple[Kind, ...] = ("first stage", "given", "model", "fused", "cascade")


@dataclass(frozen=True, slots=True)
class Comparison:
    """A system less another one in a measure: the mean difference with its interval, and queries better, equal, worse.

    `p` is by test, two-sided. `corrected` is that for all systems that are compared with the same one.
    """

    against: str
    gain: Interval
    p: Mapping[str, float]
    corrected: Mapping[str, float]
    wins: int
    ties: int
    losses: int

    @property
    def same(self) -> bool:
        """Whether no query differs."""
        return not self.wins and not self.losses


@dataclass(frozen=True, slots=True)
class Row:
    """A system's values, one a query, by the measure's name; and its comparisons, where it has any."""

    name: str
    kind: Kind
    queries: tuple[str, ...]
    values: Mapping[str, Values]
    comparisons: Mapping[str, Comparison]

    def mean(self, measure: str) -> float:
        """Return the mean over its queries."""
        return float(self.values[measure].mean())


def measures_of(names: Sequence[str]) -> tuple[Any, ...]:
    """Return measures of ir_measures by names such as nDCG@10, each once. Raises ConfigurationError."""
    found: dict[str, Any] = {}
    for name in names:
        try:
            measure: Any = ir_measures.parse_measure(name)
            measure.validate_params()
            # trec_eval ends the process at a cutoff of 0.
            if measure.params.get("cutoff", 1) < 1:
                raise ValueError("cutoff")
        except (NameError, ValueError, SyntaxError, TypeError, AssertionError):
            raise ConfigurationError(
                f"no measure {name!r}: ir_measures spells them as nDCG@10, RR@10, R@100, AP, P@5, Success@1"
            ) from None
        found[str(measure)] = measure
    return tuple(found.values())


def compared(
    systems: Sequence[System],
    qrels: Mapping[str, Mapping[str, int]],
    measures: Sequence[Any],
    baseline: str,
    *,
    tests: Sequence[str],
    correction: str,
    seed: int = 0,
) -> tuple[Row, ...]:
    """Return a row for each system, compared with `baseline`, and an A/A row with what it repeats.

    Raises ConfigurationError for a measure that can't be calculated here.
    """
    rows = {system.name: measured(system, qrels, measures) for system in systems}
    others = [system.name for system in systems if system.kind in COMPARED and system.name != baseline]
    for measure in map(str, measures):
        found = [_comparison(rows[name], rows[baseline], measure, tests, seed) for name in others]
        by_name = dict(zip(others, _corrected(found, tests, correction), strict=True))
        for system in systems:
            if system.kind == "again" and system.model is not None:
                by_name[system.name] = _comparison(rows[system.name], rows[system.model], measure, tests, seed)
        for name, each in by_name.items():
            rows[name] = replace(rows[name], comparisons={**rows[name].comparisons, measure: each})
    return tuple(rows.values())


def measured(system: System, qrels: Mapping[str, Mapping[str, int]], measures: Sequence[Any]) -> Row:
    """Return a system's row without comparisons. Raises ConfigurationError."""
    judged = {name: qrels[name] for name in system.queries}
    try:
        found = values_by_question(measures, {name: system.run[name] for name in judged}, judged)
    except (ValueError, OSError, SubprocessError) as error:
        # Some measures need another package or program, and some data are nothing for those.
        raise ConfigurationError(f"ir_measures can't calculate {_listed(measures)} here: {error}") from None
    values = {str(measure): np.array([found[measure][name] for name in judged]) for measure in measures}
    return Row(system.name, system.kind, system.queries, values, {})


def _listed(measures: Sequence[Any]) -> str:
    return ", ".join(map(str, measures))


def _comparison(row: Row, other: Row, measure: str, tests: Sequence[str], seed: int) -> Comparison:
    places = {name: place for place, name in enumerate(other.queries)}
    one, base = row.values[measure], other.values[measure][[places[name] for name in row.queries]]
    p = {name: TESTS[name](one, base, seed) for name in tests}
    return Comparison(
        against=other.name,
        gain=paired_difference(one, base, seed),
        p=p,
        corrected=p,
        wins=int((one > base).sum()),
        ties=int((one == base).sum()),
        losses=int((one < base).sum()),
    )


def _corrected(found: Sequence[Comparison], tests: Sequence[str], correction: str) -> list[Comparison]:
    by_test = {name: CORRECTIONS[correction]([each.p[name] for each in found]) for name in tests}
    return [replace(each, corrected={name: by_test[name][place] for name in tests}) for place, each in enumerate(found)]
