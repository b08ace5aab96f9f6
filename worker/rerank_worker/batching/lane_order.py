"""The order among lanes: chooses the model whose batch runs next, in a process that serves several. Pure: no clock.

The most urgent pair of all lanes is next: interactive before bulk, which keeps its share of the tokens of all lanes
together. A batch is of one lane. A lane that waits for company is not chosen, and does not hold the others back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rerank_shared.keys import JOB_CLASSES, JobClass
from rerank_worker.batching.batcher import Batch, Batcher, Elsewhere, WaitingPair, WaitUntil


@dataclass(frozen=True, slots=True)
class LaneBatch:
    """A batch to run now, and the index of its lane."""

    lane: int
    batch: Batch


@dataclass(frozen=True, slots=True)
class _First:
    """The most urgent pairs of one lane by class."""

    lane: int
    pairs: dict[JobClass, WaitingPair | None]


def next_batch(batchers: Sequence[Batcher], now: float) -> LaneBatch | WaitUntil:
    """Return the batch to run at `now` (seconds on the caller's clock), or the time to wait for one.

    The batchers, at least one, must hold the same ClassShare.
    """
    if len(batchers) == 1:
        decision = batchers[0].next(now)
        return LaneBatch(0, decision) if isinstance(decision, Batch) else decision
    closing = {lane: at for lane, batcher in enumerate(batchers) if (at := batcher.closes_at()) is not None}
    firsts = [_first_of(lane, batchers[lane]) for lane, at in closing.items() if at <= now]
    if not firsts:
        return WaitUntil(min(closing.values(), default=None))
    lane = _chosen(firsts, batchers[0])
    decision = batchers[lane].next(now, _elsewhere(first for first in firsts if first.lane != lane))
    assert isinstance(decision, Batch)
    return LaneBatch(lane, decision)


def _first_of(lane: int, batcher: Batcher) -> _First:
    return _First(lane, {job_class: batcher.first(job_class) for job_class in JOB_CLASSES})


def _chosen(firsts: Sequence[_First], batcher: Batcher) -> int:
    """Return the lane of the most urgent pair of the class that is next; `batcher` knows the share of bulk."""
    interactive, bulk = _most_urgent(firsts, "interactive"), _most_urgent(firsts, "bulk")
    chosen = batcher.share.choose(interactive is not None, None if bulk is None else bulk[1].tokens)
    found = interactive if chosen == "interactive" else bulk
    assert found is not None
    return found[0]


def _most_urgent(firsts: Iterable[_First], job_class: JobClass) -> tuple[int, WaitingPair] | None:
    waiting = [(first.lane, pair) for first in firsts if (pair := first.pairs[job_class]) is not None]
    return min(waiting, key=lambda found: found[1].place, default=None)


def _elsewhere(others: Iterable[_First]) -> Elsewhere:
    firsts = list(others)
    bulk = _most_urgent(firsts, "bulk")
    return Elsewhere(_most_urgent(firsts, "interactive") is not None, None if bulk is None else bulk[1].tokens)
