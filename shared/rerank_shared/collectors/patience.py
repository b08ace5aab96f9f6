"""How long a scrape waits for Redis: all collectors, one after another, take less than Prometheus waits for a scrape.

A server that hangs would else look like a gateway that is down, and rerank_redis_up 0 would never be told.
"""

from __future__ import annotations

#: Seconds for one answer. Prometheus's default scrape_timeout is 10.
SCRAPE_TIMEOUT_S = 2.0
