"""The runs of one batch, in order, each with the predicted seconds left. Pure: no clock, no session."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from rerank_worker.batching.batcher import BRIEF_S

_Pair = TypeVar("_Pair")


@dataclass(frozen=True, slots=True)
class BatchRun(Generic[_Pair]):
    """One run of a batch. `left_s`: predicted seconds of this run and all later ones.

    A run may take less: pairs that no job wants any more are dropped when it begins.
    """

    pairs: Sequence[_Pair]
    left_s: float
    is_last: bool


def batch_runs(
    pairs: Sequence[_Pair],
    split: Callable[[Sequence[_Pair]], Iterable[range]],
    run_s: Callable[[Sequence[_Pair]], float],
    *,
    joins: bool,
) -> list[BatchRun[_Pair]]:
    """Return the runs of a batch of `pairs`.

    `split` returns the index ranges of runs of the usual size, `run_s` predicts the seconds of one run. `joins`: a
    batch that is predicted to end within BRIEF_S is one run, and a more urgent pair waits no longer for its end.
    """
    brief = joins and 0.0 < run_s(pairs) <= BRIEF_S
    parts = [pairs] if brief else [[pairs[i] for i in run] for run in split(pairs)]
    seconds = [run_s(part) for part in parts]
    return [BatchRun(part, sum(seconds[number:]), number == len(parts) - 1) for number, part in enumerate(parts)]
