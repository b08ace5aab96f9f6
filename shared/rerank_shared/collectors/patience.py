"""How long a scrape waits for Redis: all collectors, one after another, take less than Prometheus waits for a scrape.

A server that hangs would else look like a gateway that is down, and rerank_redis_up 0 would never be told.
"""

from __future__ import annotations

#: Seconds that Prometheus waits by default (scrape_timeout).
PROMETHEUS_WAITS_S = 10.0
#: Seconds for one answer: each collector may wait for one.
SCRAPE_TIMEOUT_S = 1.5
