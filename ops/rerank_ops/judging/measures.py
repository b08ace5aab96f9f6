"""Ranking quality: measures a ranking against judged answers with ir_measures, which calls trec_eval's own code.

No measure is computed here by hand. A question without any result counts as 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ir_measures
from ir_measures import RR, nDCG

NDCG_AT_10 = nDCG @ 10
MRR_AT_10 = RR @ 10


@dataclass(frozen=True, slots=True)
class Quality:
    """Of one question, or means over all judged ones; each from 0 to 1."""

    ndcg_at_10: float
    mrr_at_10: float


def measure(run: Mapping[str, Sequence[str]], qrels: Mapping[str, Mapping[str, int]]) -> Quality:
    """Score `run`, {question id: passage ids, best first}, over every question in `qrels`."""
    means = ir_measures.calc_aggregate([NDCG_AT_10, MRR_AT_10], _judged(qrels), _scored(run))
    return Quality(ndcg_at_10=float(means[NDCG_AT_10]), mrr_at_10=float(means[MRR_AT_10]))


def ndcg_by_question(run: Mapping[str, Sequence[str]], qrels: Mapping[str, Mapping[str, int]]) -> dict[str, float]:
    """Return nDCG@10 of each question in `qrels`."""
    return {question_id: quality.ndcg_at_10 for question_id, quality in quality_by_question(run, qrels).items()}


def quality_by_question(run: Mapping[str, Sequence[str]], qrels: Mapping[str, Mapping[str, int]]) -> dict[str, Quality]:
    """Return both measures of each question in `qrels`."""
    ndcg, mrr = values_by_question([NDCG_AT_10, MRR_AT_10], run, qrels).values()
    return {question_id: Quality(ndcg[question_id], mrr[question_id]) for question_id in qrels}


def values_by_question(
    measures: Sequence[Any], run: Mapping[str, Sequence[str]], qrels: Mapping[str, Mapping[str, int]]
) -> dict[Any, dict[str, float]]:
    """Return each measure of ir_measures, in order, of each question in `qrels`."""
    values: dict[Any, dict[str, float]] = {measure: dict.fromkeys(qrels, 0.0) for measure in measures}
    for metric in ir_measures.iter_calc(list(measures), _judged(qrels), _scored(run)):
        values[metric.measure][metric.query_id] = float(metric.value)
    return values


def perfect_order(documents: Sequence[str], grades: Mapping[str, int]) -> list[str]:
    """Return documents with the most relevant first, the ceiling of any order of them; equal ones stay as they are."""
    return sorted(documents, key=lambda document: -grades.get(document, 0))


def _judged(qrels: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
    return {question_id: dict(grades) for question_id, grades in qrels.items()}


def _scored(run: Mapping[str, Sequence[str]]) -> dict[str, dict[str, float]]:
    """Return a distinct score for each place: trec_eval sorts by score and would break ties by passage id."""
    return {
        question_id: {passage_id: float(-place) for place, passage_id in enumerate(ids)}
        for question_id, ids in run.items()
    }
