"""What shadows showed, as metrics of this process and as figures in Redis, which all processes of a fleet add up.

Labels and fields come from routes and closed sets, so callers can't make any. For one event loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rerank_producer import metrics
from rerank_producer._dispatch.shadow.asking import ShadowAnswer
from rerank_producer._dispatch.shadow.comparison import compare, worst_query
from rerank_producer._dispatch.stages.shadowed import Sampled
from rerank_shared.drift.figures import COMPARED, Drop, Models, counts_of
from rerank_shared.drift.worst import KEEP_WORST, KEPT, WorstQuery, keep_call, worst_of
from rerank_shared.keys import SHADOW_TTL_S, Keys
from rerank_shared.redis.pending_counts import PendingCounts

#: Queries of one version that wait between two flushes, at most.
_MOST_WAITING = 4 * KEPT


class Tally:
    """The tally of one process."""

    def __init__(self, keys: Keys, *, with_texts: bool) -> None:
        self._keys = keys
        self._with_texts = with_texts
        self._counts = PendingCounts(keys, SHADOW_TTL_S)
        self._worst: dict[str, Sequence[WorstQuery]] = {}

    @property
    def pending(self) -> bool:
        """Whether there is something to write."""
        return self._counts.pending

    def dropped(self, sampled: Sampled, reason: Drop) -> None:
        """Count a request that was sampled and not compared."""
        metrics.SHADOW_REQUESTS.labels(sampled.route.name, sampled.shadow, reason).inc()
        self._counts.add(*self._place(sampled, reason))

    def compared(self, sampled: Sampled, answer: ShadowAnswer, at: float) -> None:
        """Count a request that a shadow scored; `at` is epoch seconds."""
        comparison = compare(sampled, answer)
        metrics.SHADOW_REQUESTS.labels(sampled.route.name, sampled.shadow, COMPARED).inc()
        metrics.observe_shadow(sampled.route.name, sampled.shadow, comparison.agreement, comparison.costs)
        for what, count in counts_of(comparison.agreement, comparison.costs).items():
            self._counts.add(*self._place(sampled, what), count)
        key = self._keys.shadow_worst(sampled.route.name, sampled.route.version)
        query = worst_query(sampled, answer, comparison.agreement, at, with_texts=self._with_texts)
        waiting = [*self._worst.get(key, ()), query]
        self._worst[key] = worst_of(waiting) if len(waiting) > _MOST_WAITING else waiting

    def move_to(self, pipe: Any) -> None:
        """Queue on a pipeline what was counted, and forget it."""
        self._counts.move_to(pipe)
        worst, self._worst = self._worst, {}
        for key, queries in worst.items():
            KEEP_WORST.queue_on(pipe, [key], *keep_call(worst_of(queries)))

    def _place(self, sampled: Sampled, what: str) -> tuple[str, str]:
        """Return the key and the field of a count."""
        key = self._keys.shadowed(sampled.route.name, sampled.route.version)
        return key, Models(sampled.live, sampled.shadow).field(what)
