"""Sharding: the number of shards of a request, and the candidates of each. Pure.

A process that starts one shard at once can't merge it with its siblings, so there are never more shards than idle
processes. Candidates keep first-stage order inside each shard, and the first ones are spread over all shards, so that
the candidates scored by the deadline are those that the first stage ranked best.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rerank_shared.scheduling.admission import AdmissionEstimate

#: Cost of one more shard for the caller and the queue: 3 ms for two over one, measured with a model that does nothing.
SHARD_OVERHEAD_S = 0.003
#: The run of each shard must last at least this many times the overhead.
_WORTH = 20.0


@dataclass(frozen=True, slots=True)
class Sharding:
    """A request as shards.

    `parts`: the indexes of each shard's candidates. `due_at`: the urgency of each shard. `estimate`: the admission
    estimate of the request, whose own run is that of one shard.
    """

    parts: list[list[int]]
    due_at: float
    estimate: AdmissionEstimate


def shard_request(
    lengths: Sequence[int],
    *,
    run_s: float,
    idle: int,
    left_s: float,
    due_at: Callable[[float], float],
    wait_s: Callable[[float], float],
    count: int | None = None,
) -> Sharding:
    """Return the sharding of a request whose pairs have these lengths, in tokens.

    `run_s` is the predicted run of the request in one process, `left_s` the time to its deadline, both in seconds.
    `due_at` gives the urgency of a shard that runs so many seconds; `wait_s` gives the wait of a job of that urgency
    for its first run. `count` overrides the number of shards.
    """
    if count is None:
        count = shard_count(run_s=run_s, pairs=len(lengths), idle=idle)
    parts = split(lengths, count)
    part_s = run_s / len(parts)
    due = due_at(part_s)
    return Sharding(parts, due, AdmissionEstimate(wait_s(due), part_s, left_s))


def idle_processes(*, workers: int, unanswered: int) -> int:
    """Return the number of idle processes: each unanswered job keeps one busy."""
    return max(0, workers - unanswered)


def shard_count(*, run_s: float, pairs: int, idle: int, overhead_s: float = SHARD_OVERHEAD_S) -> int:
    """Return the number of shards for work that one process would run for `run_s` seconds; at least 1.

    `idle` is the number of idle processes. A `run_s` of 0 means that the cost is unknown; then nothing is split.
    """
    worth = int(run_s / (_WORTH * overhead_s))
    return max(1, min(worth, idle, pairs))


def split(tokens: Sequence[int], shards: int) -> list[list[int]]:
    """Return the indexes of each shard, ascending. Each candidate goes, in order, to the shard with fewest tokens."""
    parts: list[list[int]] = [[] for _ in range(shards)]
    least = [(0, part) for part in range(shards)]
    for index, count in enumerate(tokens):
        total, part = least[0]
        parts[part].append(index)
        heapq.heapreplace(least, (total + count, part))
    return [part for part in parts if part] or parts[:1]
