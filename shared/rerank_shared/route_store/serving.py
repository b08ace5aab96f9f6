"""Which models of a route are served, and by which pools: those that have a live process."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from rerank_shared.errors import UnknownModel, WireError
from rerank_shared.keys import Keys
from rerank_shared.pools import processes_of, read_pools
from rerank_shared.redis.server_clock import server_epoch


def unserved(client: Any, keys: Keys, models: Collection[str]) -> list[str]:
    """Return those of `models` that no live worker serves, under their own names or as an alias."""
    if not models:
        return []
    now = server_epoch(client)
    return [model for model in models if not processes_of(client, keys, model, now)]


def pools_by_model(client: Any, keys: Keys, models: Collection[str]) -> dict[str, frozenset[str]]:
    """Return the pools that have a live worker by these names of models; none by one that nobody serves."""
    if not models:
        return {}
    now, found = server_epoch(client), {}
    for model in models:
        try:
            pools = read_pools(client, keys, model, now)
        except (UnknownModel, WireError):
            pools = ()
        found[model] = frozenset(pool.id for pool in pools if pool.id and pool.processes)
    return found
