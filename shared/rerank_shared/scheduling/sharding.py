"""Sharding: the number of shards of a request, and the candidates of each. Pure.

A process that starts one shard at once can't merge it with its siblings, so there are never more shards than processes
that are open to the request: idle ones, and for an interactive request those that only bulk work keeps busy, since that
gives way. Candidates keep first-stage order inside each shard, and the first ones are spread over all shards, so that
the candidates scored by the deadline are those that the first stage ranked best.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rerank_shared.keys import JobClass
from rerank_shared.scheduling.admission import AdmissionEstimate

#: Cost of one more shard for the caller and the queue: 3 ms for two over one, measured with a model that does nothing.
SHARD_OVERHEAD_S = 0.003
#: The run of each shard must last at least this many times the overhead.
_WORTH = 20.0


@dataclass(frozen=True, slots=True)
class Sharding:
    """A request as shards.

    `shards`: the indexes of each shard's candidates. `due_at`: the urgency of each shard. `estimate`: the admission
    estimate of the request, whose own run is that of one shard.
    """

    shards: list[list[int]]
    due_at: float
    estimate: AdmissionEstimate


def shard_request(
    lengths: Sequence[int],
    *,
    run_s: float,
    processes: int,
    left_s: float,
    due_at: Callable[[float], float],
    wait_s: Callable[[float], float],
    count: int | None = None,
) -> Sharding:
    """Return the sharding of a request whose pairs have these lengths, in tokens.

    `run_s` is the predicted run of the request in one process, `left_s` the time to its deadline, both in seconds.
    `processes` are those that are open to it.
    `due_at` gives the urgency of a shard that runs so many seconds; `wait_s` gives the wait of a job of that urgency
    for its first run. `count` overrides the number of shards.
    """
    if count is None:
        count = shard_count(run_s=run_s, pairs=len(lengths), processes=processes)
    shards = split(lengths, count)
    shard_s = run_s / len(shards)
    due = due_at(shard_s)
    return Sharding(shards, due, AdmissionEstimate(wait_s(due), shard_s, left_s))


def idle_processes(*, workers: int, unanswered: int) -> int:
    """Return the number of idle processes: each unanswered job keeps one busy."""
    return max(0, workers - unanswered)


def open_processes(job_class: JobClass, *, workers: int, unanswered: int, bulk: int) -> int:
    """Return the number of processes that a request of a class finds open; `bulk` of the unanswered jobs are bulk."""
    before = unanswered - bulk if job_class == "interactive" else unanswered
    return idle_processes(workers=workers, unanswered=before)


def shard_count(*, run_s: float, pairs: int, processes: int, overhead_s: float = SHARD_OVERHEAD_S) -> int:
    """Return the number of shards for work that one process would run for `run_s` seconds; at least 1.

    `processes` are those that are open to it. A `run_s` of 0 means that the cost is unknown; then nothing is split.
    """
    worth = int(run_s / (_WORTH * overhead_s))
    return max(1, min(worth, processes, pairs))


def split(tokens: Sequence[int], count: int) -> list[list[int]]:
    """Return the indexes of each shard, ascending. Each candidate goes, in order, to the shard with fewest tokens."""
    shards: list[list[int]] = [[] for _ in range(count)]
    least = [(0, number) for number in range(count)]
    for index, cost in enumerate(tokens):
        total, number = least[0]
        shards[number].append(index)
        heapq.heapreplace(least, (total + cost, number))
    return [shard for shard in shards if shard] or shards[:1]
