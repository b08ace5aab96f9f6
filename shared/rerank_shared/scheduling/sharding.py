"""How many parts a request is sent in, and which candidate is in which: as many as processes are idle and as pay.

A part that a process starts at once can't be merged with its siblings, so there are never more parts than idle
processes. Candidates keep first-stage order inside each part, and the first ones are spread over all parts, so that
what is scored when the deadline comes is what the first stage thought best.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

#: What one more part costs the caller and the queue: 3 ms for two over one, measured with a model that does nothing.
SHARD_OVERHEAD_S = 0.003
#: A part must be worth this many times its overhead.
_WORTH = 20.0


def shard_count(*, run_s: float, pairs: int, idle: int, overhead_s: float = SHARD_OVERHEAD_S) -> int:
    """Return the number of parts for work that one process would run for `run_s`; at least 1.

    `idle` is how many processes have nothing to do now; `run_s` 0 means that nothing is known, and nothing is split.
    """
    worth = int(run_s / (_WORTH * overhead_s))
    return max(1, min(worth, idle, pairs))


def split(tokens: Sequence[int], shards: int) -> list[list[int]]:
    """Return the indexes of each part, ascending: each candidate goes, in order, where there is least work so far."""
    parts: list[list[int]] = [[] for _ in range(shards)]
    least = [(0, part) for part in range(shards)]
    for index, count in enumerate(tokens):
        total, part = least[0]
        parts[part].append(index)
        heapq.heapreplace(least, (total + count, part))
    return [part for part in parts if part] or parts[:1]
