"""How long what belongs to a job is kept."""

from __future__ import annotations

import time
from typing import Any

import redis

from rerank_shared.keys import Keys


def life_s(client: redis.Redis, keys: Keys, name: str) -> float:
    """Return the seconds that a key is kept, -1 without end: by the book of life-times, else by Redis' own."""
    ends_at: Any = client.zscore(keys.lifetimes, name)
    if ends_at is None:
        return float(client.ttl(name))
    assert client.ttl(name) == -1, "a server that is full could evict it"
    return float(ends_at) - time.time()
