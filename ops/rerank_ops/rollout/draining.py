"""What becomes of the old model's workers when no route leads to it any more."""

from __future__ import annotations

from collections.abc import Sequence

from rerank_shared.contract.messages import Heartbeat
from rerank_shared.errors import UnknownModel
from rerank_shared.fleet_state import read_state
from rerank_shared.pools import read_pools
from rerank_shared.redis.server_clock import server_epoch
from rerank_shared.route_store.store import RouteStore
from rerank_shared.routing.rollout import Record


def draining(store: RouteStore, record: Record) -> list[str]:
    """Return lines that say which processes serve the old model, and how they are stopped. Raises as redis-py."""
    users = [name for name, route in store.table().live.items() if record.old in route.models]
    if users:
        return [f"{record.old} is still named by {', '.join(users)}: its workers must stay"]
    old, new = _pools(store, record.old), _pools(store, record.new)
    workers = [beat for beat in read_state(store.client, store.keys, record.old).workers if old & {*beat.pools}]
    alone = [beat for beat in workers if not new & {*beat.pools}]
    both = [beat for beat in workers if new & {*beat.pools}]
    lines = []
    if alone:
        lines.append(
            f"no route names {record.old}. Processes that serve it: {_where(alone)}. Stop their `rerank-fleet worker` "
            "with SIGTERM: it drains, that is, it takes no more jobs and ends those that it has"
        )
    if both:
        lines.append(
            f"processes that serve {record.old} beside {record.new}: {_where(both)}. Restart their `rerank-fleet "
            f"worker` without --model {record.old}"
        )
    return lines or [f"no live process serves {record.old} any more"]


def _pools(store: RouteStore, model: str) -> set[str]:
    try:
        return {pool.id for pool in read_pools(store.client, store.keys, model, server_epoch(store.client))}
    except UnknownModel:
        return set()


def _where(workers: Sequence[Heartbeat]) -> str:
    return ", ".join(f"{beat.host} process {beat.pid}" for beat in workers)
