"""Which models of a route are served: by the heartbeats of the workers that are alive."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rerank_shared.contract import wire
from rerank_shared.contract.unreadable import read_or_none
from rerank_shared.keys import Keys
from rerank_shared.redis.server_clock import server_epoch


def unserved(client: Any, keys: Keys, models: Iterable[str]) -> list[str]:
    """Return those of `models` that no live worker serves, under their own names or as an alias; two round trips."""
    wanted = list(models)
    ids = client.zrangebyscore(keys.workers, server_epoch(client), "+inf")
    names = [*map(keys.identity, wanted), *(keys.worker(each.decode(errors="replace")) for each in ids)]
    records = client.mget(names) if names else []
    beats = (read_or_none("heartbeat", wire.decode_heartbeat, data) for data in records[len(wanted) :] if data)
    alive = {beat.model for beat in beats if beat is not None}
    found = (None if data is None else read_or_none("identity", wire.decode_identity, data) for data in records)
    return [
        model
        for model, identity in zip(wanted, found, strict=False)
        if model not in alive and (identity is None or identity.model not in alive)
    ]
