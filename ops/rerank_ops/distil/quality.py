"""Quality of a student beside its teacher, and beside what costs nothing to make: the free baselines. Pure.

All of them rank what the first stage found. A student that does not beat the teacher on half as many candidates is not
worth its making.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from rerank_ops.evaluate.comparison import Row, compared, measures_of
from rerank_ops.evaluate.first_stages import FirstStage
from rerank_ops.evaluate.scoring import ModelScores
from rerank_ops.evaluate.systems import Kind, System, fused_name, of_model, of_stage
from rerank_ops.export.depth.following import Floats, following
from rerank_ops.fusion.sweep import ScoredQuery, Variant, deviations_of, ranking
from rerank_shared.models.manifest import StudentQuality, SystemQuality

#: What systems are called; a first stage has its own name.
TEACHER, STUDENT = "teacher", "student"
_FUSED = Variant("weighted", 1.0)
_NDCG, _MRR = "nDCG@10", "RR@10"


def student_quality(
    name: str,
    kind: Literal["held out", "other"],
    stage: FirstStage,
    qrels: Mapping[str, Mapping[str, int]],
    scores: tuple[ModelScores, ModelScores],
    *,
    k: int,
    judged_by: Literal["judgements", "sources"] = "judgements",
) -> StudentQuality:
    """Return how good teacher and student, whose `scores` are given, are on the judged queries of both."""
    teacher, student = (replace(each, name=known) for each, known in zip(scores, (TEACHER, STUDENT), strict=True))
    queries = [query.id for query in teacher.queries]
    systems = [
        of_stage(stage, queries),
        *_of(teacher, stage.name),
        _cut(teacher, stage.name, k // 2),
        *_of(student, stage.name),
    ]
    baseline = fused_name(TEACHER, stage.name, "weighted", 1.0)
    rows = compared(systems, qrels, measures_of([_NDCG, _MRR]), baseline, tests=(), correction="none")
    alone, fused = _following(teacher, student)
    return StudentQuality(
        name=name,
        kind=kind,
        queries=len(queries),
        k=k,
        judged_by=judged_by,
        systems=tuple(_system(row) for row in rows),
        correlation=alone[0],
        overlap_at_10=alone[1],
        fused_overlap_at_10=fused,
        teacher_pairs_per_s=_speed(teacher),
        student_pairs_per_s=_speed(student),
    )


def _of(scores: ModelScores, stage: str) -> list[System]:
    return list(of_model(replace(scores, again=None), stage, "weighted", (1.0,)))


def _cut(scores: ModelScores, stage: str, k: int) -> System:
    """Return the teacher with the first stage, on that one's best `k` alone: half the time, and no training."""
    cut = [query.part(range(k)) for query in scores.queries]
    kind: Kind = "fused"
    names = tuple(query.id for query in cut)
    return System(f"{fused_name(scores.name, stage, 'weighted', 1.0)}, k {k}", kind, _run(cut), names, scores.name)


def _run(queries: Sequence[ScoredQuery]) -> dict[str, tuple[str, ...]]:
    known = deviations_of(queries)
    ratio = None if known is None else known.ratio
    return {query.id: tuple(ranking(query, _FUSED, ratio)) for query in queries}


def _following(teacher: ModelScores, student: ModelScores) -> tuple[tuple[float, float], float]:
    """Return correlation and overlap of the logits, and the overlap of the fused orders."""
    found = following(_logits(student), _logits(teacher))
    ours, theirs = _run(student.queries), _run(teacher.queries)
    overlaps = [
        len({*ours[name][:10]} & {*theirs[name][:10]}) / len(theirs[name][:10]) for name in ours if theirs[name]
    ]
    return (found.correlation, found.overlap_at_10), float(np.mean(overlaps)) if overlaps else 0.0


def _logits(scores: ModelScores) -> list[Floats]:
    return [np.array(query.logits, dtype=np.float32) for query in scores.queries if query.logits]


def _system(row: Row) -> SystemQuality:
    gain = row.comparisons[_NDCG].gain if _NDCG in row.comparisons else None
    return SystemQuality(
        system=row.name,
        ndcg_10=round(row.mean(_NDCG), 4),
        mrr_10=round(row.mean(_MRR), 4),
        gain=None if gain is None else (round(gain.mean, 4), round(gain.low, 4), round(gain.high, 4)),
    )


def _speed(scores: ModelScores) -> float | None:
    return None if scores.speed is None else round(scores.speed.pairs_per_s, 1)
