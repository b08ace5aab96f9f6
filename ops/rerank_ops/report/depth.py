"""Curves over depth: what the first stage found within its best k, and what could be made of that.

A system is cut to k as it would be in service: it orders the first stage's best k, and the others follow as they stood.
The scores are those of the whole list, so that this costs no model time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from rerank_ops.evaluate.first_stages import FirstStage
from rerank_ops.evaluate.systems import System
from rerank_ops.judging.measures import perfect_order, values_by_question

#: Depths that are measured, at most k.
_DEPTHS = (1, 2, 3, 5, 7, 10, 15, 20, 25, 30, 40, 50, 75, 100, 150, 200, 300, 500, 700, 1_000)


@dataclass(frozen=True, slots=True)
class Depth:
    """Means over queries at a depth: the share of relevant documents found, and a measure of orders of them by name."""

    k: int
    recall: float
    perfect: float
    systems: Mapping[str, float]


def depths(k: int) -> list[int]:
    """Return the depths at which `k` candidates are measured."""
    return [*(depth for depth in _DEPTHS if depth < k), k]


def by_depth(
    stage: FirstStage, qrels: Mapping[str, Mapping[str, int]], measure: Any, systems: Sequence[System], k: int
) -> list[Depth]:
    """Return recall, the perfect order and systems at each depth, by a measure of ir_measures. Raises as it does."""
    found = {query: [name for name, _ in stage.hits.get(query, ())] for query in qrels}
    curve = []
    for depth in depths(k):
        best = {query: perfect_order(names[:depth], qrels[query]) for query, names in found.items()}
        values = {
            system.name: _mean(measure, {q: _cut(system, q, names, depth) for q, names in found.items()}, qrels)
            for system in systems
        }
        curve.append(Depth(depth, _recall(found, qrels, depth), _mean(measure, best, qrels), values))
    return curve


def enough(curve: Sequence[Depth], name: str, least: float = 0.99) -> int:
    """Return the smallest depth from which on a system keeps `least` of its value at full depth."""
    full = curve[-1].systems[name]
    kept = curve[-1].k
    for each in reversed(curve):
        if each.systems[name] < least * full:
            break
        kept = each.k
    return kept


def _cut(system: System, query: str, names: Sequence[str], depth: int) -> list[str]:
    ranked = set(names[:depth])
    return [*(name for name in system.run.get(query, ()) if name in ranked), *names[depth:]]


def _recall(found: Mapping[str, Sequence[str]], qrels: Mapping[str, Mapping[str, int]], depth: int) -> float:
    shares = []
    for query, grades in qrels.items():
        relevant = {name for name, grade in grades.items() if grade > 0}
        shares.append(len(relevant.intersection(found[query][:depth])) / len(relevant))
    return fmean(shares)


def _mean(measure: Any, run: Mapping[str, Sequence[str]], qrels: Mapping[str, Mapping[str, int]]) -> float:
    (values,) = values_by_question([measure], run, qrels).values()
    return fmean(values.values())
