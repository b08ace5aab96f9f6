"""Celery's remote control of worker processes: under which names it knows them, and which names are nobody's any more.

kombu writes down where each worker is reached, and a killed worker takes nothing back. A control message does not need
the entry (it is a broadcast), so removing one of a worker that is only starting harms nobody.
"""

from __future__ import annotations

from typing import Any

from rerank_shared.keys import Keys

_NODE = "rerank@"
_MAILBOX = ".celery.pidbox"


def node_name(worker_id: str) -> str:
    """Return the name by which Celery knows a worker process."""
    return _NODE + worker_id


def dead_controls(client: Any, keys: Keys, now: float, own_id: str) -> list[bytes]:
    """Return the entries of workers that have no heartbeat, other than one's own."""
    alive = {own_id.encode(), *client.zrangebyscore(keys.workers, now, "+inf")}
    return [entry for entry in client.smembers(keys.control_bindings) if _worker_id(entry) not in (None, *alive)]


def _worker_id(entry: bytes) -> bytes | None:
    """Return whose entry it is; None for one of another program."""
    _, found, name = entry.rpartition(_NODE.encode())
    return name.removesuffix(_MAILBOX.encode()) if found and name.endswith(_MAILBOX.encode()) else None
