"""What the stream of feedback takes of its bounds, read from Redis at each scrape. At a bound the oldest records go."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rerank_shared.collectors.patience import SCRAPE_TIMEOUT_S
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import OUTAGES_AND_REFUSALS, connect
from rerank_shared.settings import Settings


class FeedbackCollector(Collector):
    """Reads the stream at each scrape, in one round trip; the bounds are those of this process's settings."""

    def __init__(self, settings: Settings) -> None:
        self._client = connect(settings, timeout_s=SCRAPE_TIMEOUT_S)
        self._key = Keys(settings.namespace).feedback
        self._settings = settings

    def describe(self) -> Iterator[Metric]:
        """Yield the gauges without values, so that registering needs no Redis server."""
        yield from self._families(None, None)

    def collect(self) -> Iterator[Metric]:
        """Yield those gauges that the server tells, each with its bound."""
        pipe = self._client.pipeline(transaction=False)
        pipe.xlen(self._key)
        pipe.memory_usage(self._key)
        try:
            records, used_bytes = pipe.execute(raise_on_error=False)
        except OUTAGES_AND_REFUSALS:
            return
        # A stream that is not there takes no memory.
        used_bytes = 0 if records == 0 else used_bytes
        yield from (family for family in self._families(records, used_bytes) if family.samples)

    def _families(self, records: Any, used_bytes: Any) -> Iterator[Metric]:
        settings = self._settings
        for name, what, value in (
            ("used_records", "Records of feedback that are kept.", records),
            ("limit_records", "Records of feedback that may be kept.", _beside(records, settings.feedback_max_records)),
            ("used_bytes", "Memory of the feedback that is kept.", used_bytes),
            ("limit_bytes", "Memory that feedback may take.", _beside(used_bytes, settings.feedback_max_bytes)),
        ):
            family = GaugeMetricFamily(f"rerank_feedback_{name}", what)
            if isinstance(value, int):
                family.add_metric([], value)
            yield family


def _beside(used: Any, limit: int) -> int | None:
    """Return a bound where what is used is told; a refusal is an exception among the answers."""
    return limit if isinstance(used, int) else None
