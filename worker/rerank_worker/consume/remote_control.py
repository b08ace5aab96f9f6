"""Celery's remote control: names worker processes, and finds the entries that killed workers left behind.

kombu stores an entry for each worker, and a killed worker removes none. A control message is a broadcast and does not
need the entry, so it is safe to remove the entry of a worker that is only starting.
"""

from __future__ import annotations

from typing import Any

from rerank_shared.keys import Keys

_NODE = "rerank@"
_MAILBOX = ".celery.pidbox"


def node_name(worker_id: str) -> str:
    """Return the Celery node name of a worker process."""
    return _NODE + worker_id


def worker_id_of(node: str) -> str:
    """Return the id of the worker process that has this Celery node name."""
    return node.removeprefix(_NODE)


def dead_controls(client: Any, keys: Keys, now: float, own_id: str) -> list[bytes]:
    """Return the entries of workers without a heartbeat, except the worker `own_id`."""
    alive = {own_id.encode(), *client.zrangebyscore(keys.workers, now, "+inf")}
    return [entry for entry in client.smembers(keys.control_bindings) if _worker_id(entry) not in (None, *alive)]


def forget_control(client: Any, keys: Keys, worker_id: str) -> None:
    """Remove the entry of a worker that is dead."""
    known = client.smembers(keys.control_bindings)
    if own := [entry for entry in known if _worker_id(entry) == worker_id.encode()]:
        client.srem(keys.control_bindings, *own)


def silent_workers(client: Any, keys: Keys, now: float) -> list[str]:
    """Return the ids of workers that have an entry and no heartbeat: frozen, cut off, or killed and not replaced."""
    found = {_worker_id(entry) for entry in dead_controls(client, keys, now, own_id="")}
    return sorted(worker.decode() for worker in found if worker)


def _worker_id(entry: bytes) -> bytes | None:
    """Return the id of the worker that an entry belongs to; None for an entry of another program."""
    _, found, name = entry.rpartition(_NODE.encode())
    return name.removesuffix(_MAILBOX.encode()) if found and name.endswith(_MAILBOX.encode()) else None
