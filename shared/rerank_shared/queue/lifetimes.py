"""Life-times of a job's keys: kept in a sorted set of the fleet, not as Redis life-times.

A server with a volatile-* policy evicts keys with a life-time when its memory is full. Texts, requests and outcomes
have none, so such a server can evict cached scores and keys that are written again all the time, and never a job. Every
sweep of the queue ends the keys whose time is over (lua/sweep.lua); with no worker alive they stay, as the jobs on the
queue do.
"""

from __future__ import annotations

from typing import Any

from rerank_shared.keys import Keys


def keep(pipe: Any, keys: Keys, name: str, value: bytes, until: float) -> None:
    """Queue on a pipeline the write of a key, and its end (epoch seconds)."""
    # The end first: if only the start of a pipeline arrives, no key is left without an end.
    pipe.zadd(keys.lifetimes, {name: until})
    pipe.set(name, value)


def end(pipe: Any, keys: Keys, *names: str) -> None:
    """Queue the deletion of keys on a pipeline."""
    pipe.unlink(*names)
    pipe.zrem(keys.lifetimes, *names)
