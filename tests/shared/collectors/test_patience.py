"""How long a scrape may wait for a server that hangs."""

from __future__ import annotations

from rerank_shared.collectors import all_collectors
from rerank_shared.collectors.patience import PROMETHEUS_WAITS_S, SCRAPE_TIMEOUT_S
from rerank_shared.settings import Settings


def test_all_collectors_together_wait_less_than_prometheus(settings: Settings) -> None:
    # A fifth of its time is left for the rest of the scrape.
    assert len(all_collectors(settings)) * SCRAPE_TIMEOUT_S <= 0.8 * PROMETHEUS_WAITS_S
