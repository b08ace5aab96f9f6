"""Targets of the student: the teacher's logit and the first stage's score together. Pure.

A student of the fused score was better than one of the teacher's logit alone, with the first stage's score added to
either in service. The ratio of both scales is that of `fusion="weighted"`: of the mean deviations within lists.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rerank_ops.distil.lists import LearnedList

Floats = npt.NDArray[np.float32]
#: Deviations from a list's mean beyond which the score of a pseudo-query's own source is cut: it shares all its words.
SOURCE_DEVIATIONS = 3.0


def ratio_of(lists: Sequence[LearnedList], logits: Sequence[Floats]) -> float:
    """Return the mean deviation of logits within lists over that of first-stage scores; 0 where those do not vary.

    Sources of pseudo-queries are left out.
    """
    ours, theirs = [], []
    for each, scored in zip(lists, logits, strict=True):
        kept = [place for place, candidate in enumerate(each.candidates) if not candidate.source]
        if len(kept) < 2:
            continue
        ours.append(float(scored[kept].astype(np.float64).std()))
        theirs.append(float(np.std([each.candidates[place].first for place in kept])))
    first = float(np.mean(theirs)) if theirs else 0.0
    return float(np.mean(ours)) / first if first else 0.0


def targets_of(lists: Sequence[LearnedList], logits: Sequence[Floats], beta: float) -> list[Floats]:
    """Return logit + beta * (first-stage score - its mean in the list), for each list [candidates]."""
    return [
        (scored + beta * _centred_first(each)).astype(np.float32) for each, scored in zip(lists, logits, strict=True)
    ]


def _centred_first(each: LearnedList) -> npt.NDArray[np.float64]:
    first = np.array([candidate.first for candidate in each.candidates], dtype=np.float64)
    source = np.array([candidate.source for candidate in each.candidates])
    others = first[~source] if (~source).any() else first
    most = others.mean() + SOURCE_DEVIATIONS * others.std()
    first = np.where(source, np.minimum(first, most), first)
    return np.asarray(first - first.mean(), dtype=np.float64)
