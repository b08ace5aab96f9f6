"""Which models of a route are served: those that have a live process."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rerank_shared.keys import Keys
from rerank_shared.pools import processes_of
from rerank_shared.redis.server_clock import server_epoch


def unserved(client: Any, keys: Keys, models: Iterable[str]) -> list[str]:
    """Return those of `models` that no live worker serves, under their own names or as an alias."""
    now = server_epoch(client)
    return [model for model in models if not processes_of(client, keys, model, now)]
