"""The order among lanes: chooses the model whose batch runs next, in a process that serves several. Pure: no clock.

The most urgent pair of all lanes is next: interactive before bulk, which keeps its share of the tokens of all lanes
together. Where models have weights, the next interactive batch is of the lane that has had the fewest tokens for its
weight: tenants share a queue in the same way. A batch is of one lane. A lane that waits for company is not chosen, and
does not hold the others back.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from rerank_shared.keys import JOB_CLASSES, JobClass
from rerank_shared.scheduling.fairness import TenantShare
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


def next_batch(batchers: Sequence[Batcher], now: float, served: TenantShare | None = None) -> LaneBatch | WaitUntil:
    """Return the batch to run at `now` (seconds on the caller's clock), or the time to wait for one.

    The batchers, at least one, must hold the same ClassShare. `served` holds what each model has had, by its weight; it
    counts where a batcher has a weight, and one without then counts as 1.
    """
    if len(batchers) == 1:
        decision = batchers[0].next(now)
        return LaneBatch(0, decision) if isinstance(decision, Batch) else decision
    closing = {lane: at for lane, batcher in enumerate(batchers) if (at := batcher.closes_at()) is not None}
    firsts = [_first_of(lane, batchers[lane]) for lane, at in closing.items() if at <= now]
    if not firsts:
        return WaitUntil(min(closing.values(), default=None))
    served = served if _are_weighted(batchers) else None
    interactive = _most_urgent(firsts, "interactive") if served is None else _least_served(firsts, batchers, served)
    lane = _chosen(firsts, interactive, batchers[0])
    elsewhere = _elsewhere(first for first in firsts if first.lane != lane)
    if served is not None and interactive not in (None, lane):
        elsewhere = replace(elsewhere, first=True)
    decision = batchers[lane].next(now, elsewhere)
    assert isinstance(decision, Batch)
    if served is not None:
        _count(batchers[lane], decision, served)
    return LaneBatch(lane, decision)


def ahead_elsewhere_s(
    batchers: Iterable[Batcher], own: Batcher, job_class: JobClass, due_at: float, tokens: int
) -> float:
    """Return the predicted seconds of what other lanes run before the last of so many `tokens` that arrive in `own`."""
    others = [other for other in batchers if other is not own]
    if job_class == "bulk" or not _are_weighted([own, *others]):
        return sum(other.ahead_s(job_class, due_at) for other in others)
    mine = (own.ahead(job_class, due_at).tokens + tokens) / _weight(own)
    return sum(_within_s(other, mine * _weight(other)) for other in others)


def _within_s(batcher: Batcher, tokens: float) -> float:
    """Return the seconds of its interactive work, or of the part of it that has so many tokens."""
    work = batcher.ahead("interactive", math.inf)
    return batcher.predict_s(work) * min(1.0, tokens / work.tokens) if work.tokens else 0.0


def _are_weighted(batchers: Iterable[Batcher]) -> bool:
    return any(batcher.weight is not None for batcher in batchers)


def _weight(batcher: Batcher) -> float:
    return 1.0 if batcher.weight is None else batcher.weight


def _count(batcher: Batcher, batch: Batch, served: TenantShare) -> None:
    tokens = sum(pair.tokens for pair in batch.candidates if pair.job_class == "interactive")
    served.arrive(batcher.name)
    served.served(batcher.name, tokens / _weight(batcher))


def _first_of(lane: int, batcher: Batcher) -> _First:
    return _First(lane, {job_class: batcher.first(job_class) for job_class in JOB_CLASSES})


def _chosen(firsts: Sequence[_First], interactive: int | None, batcher: Batcher) -> int:
    """Return the lane of the class that is next; `interactive` is that of the interactive pair that would be.

    `batcher` knows the share of bulk.
    """
    bulk = _most_urgent(firsts, "bulk")
    chosen = batcher.share.choose(interactive is not None, _bulk_tokens(firsts))
    found = interactive if chosen == "interactive" else bulk
    assert found is not None
    return found


def _least_served(firsts: Sequence[_First], batchers: Sequence[Batcher], served: TenantShare) -> int | None:
    """Return the lane with interactive pairs that has had the fewest tokens for its weight."""
    waiting = {batchers[first.lane].name: first.lane for first in firsts if first.pairs["interactive"] is not None}
    for name in waiting:
        served.arrive(name)
    return waiting[served.choose(waiting)] if waiting else None


def _most_urgent(firsts: Iterable[_First], job_class: JobClass) -> int | None:
    """Return the lane of the most urgent pair of a class."""
    waiting = [(pair.place, first.lane) for first in firsts if (pair := first.pairs[job_class]) is not None]
    return min(waiting, default=(None, None))[1]


def _bulk_tokens(firsts: Iterable[_First]) -> int | None:
    """Return the tokens of the most urgent bulk pair."""
    waiting = [pair for first in firsts if (pair := first.pairs["bulk"]) is not None]
    return min(waiting, key=lambda pair: pair.place).tokens if waiting else None


def _elsewhere(others: Iterable[_First]) -> Elsewhere:
    firsts = list(others)
    return Elsewhere(_most_urgent(firsts, "interactive") is not None, _bulk_tokens(firsts))
