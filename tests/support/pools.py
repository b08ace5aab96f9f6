"""Pools of a fleet as its workers announce them, without workers."""

from __future__ import annotations

from collections.abc import Collection

import redis

from rerank_shared import fleet
from rerank_shared.contract.digest import pool_id
from rerank_shared.contract.messages import Heartbeat, ScoringIdentity
from rerank_shared.keys import Keys

IDENTITY = ScoringIdentity("org/name", "aa", "bb", "int8", "t", 512, "longest_first", "sigmoid")


def announce(
    client: redis.Redis,
    keys: Keys,
    identity: ScoringIdentity,
    *workers: str,
    now: float,
    names: Collection[str] | None = None,
) -> str:
    """Announce a pool, and a heartbeat of each of its workers; return its id. `now` is epoch seconds.

    `names` are those of its model; None: its own alone.
    """
    pipe, pool = client.pipeline(), pool_id(identity)
    fleet.announce(pipe, keys, identity, now, names)
    for worker in workers:
        beat = Heartbeat(worker, identity.model, "host", 1, None, now, 1000.0, 0, 0, pools=(pool,))
        fleet.beat(pipe, keys, beat, now)
    pipe.execute()
    return pool
