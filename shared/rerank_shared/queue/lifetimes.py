"""What belongs to a job ends by a book of our own, not by a life-time in Redis.

A server whose policy is volatile-* takes keys with a life-time when its memory is full. Texts, requests and outcomes
have none, so it can take cached scores and what is written anew all the time, and never a job. Every sweep of the queue
ends what is over (lua/sweep.lua); with no worker alive they stay, as the jobs on the queue do.
"""

from __future__ import annotations

from typing import Any

from rerank_shared.keys import Keys


def keep(pipe: Any, keys: Keys, name: str, value: bytes, until: float) -> None:
    """Queue on a pipeline that a key is written, and when it ends (epoch seconds)."""
    # In this order, so that a pipeline of which only the start arrives leaves nothing that nobody ends.
    pipe.zadd(keys.lifetimes, {name: until})
    pipe.set(name, value)


def end(pipe: Any, keys: Keys, *names: str) -> None:
    """Queue on a pipeline that keys end now."""
    pipe.unlink(*names)
    pipe.zrem(keys.lifetimes, *names)
