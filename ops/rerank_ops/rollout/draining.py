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
    old, new = _pools(store, record.old), _pools(store, record.new)
    if users := _users(store, record.old, old):
        return [f"{record.old} is still used by {', '.join(users)}: its workers must stay"]
    workers = [beat for beat in read_state(store.client, store.keys, record.old).workers if old & {*beat.pools}]
    alone = [beat for beat in workers if not new & {*beat.pools}]
    both = [beat for beat in workers if new & {*beat.pools}]
    lines = []
    if alone:
        lines.append(
            f"no route leads to {record.old}. Processes that serve it: {_where(alone)}. Stop their `rerank-fleet "
            "worker` with SIGTERM: it drains, that is, it takes no more jobs and ends those that it has"
        )
    if both:
        lines.append(
            f"processes that serve {record.old} beside {record.new}: {_where(both)}. Take it out of their settings, "
            f"and `rerank-fleet models unload {record.old}`"
        )
    return lines or [f"no live process serves {record.old} any more"]


def _users(store: RouteStore, model: str, pools: set[str]) -> list[str]:
    """Return the routes that lead to a model, by this name or by another one that its pools have."""
    routes = store.table().live
    named = {each for route in routes.values() for each in route.models}
    same = {each for each in named if each == model or pools & _pools(store, each)}
    return sorted(name for name, route in routes.items() if same & {*route.models})


def _pools(store: RouteStore, model: str) -> set[str]:
    try:
        return {pool.id for pool in read_pools(store.client, store.keys, model, server_epoch(store.client))}
    except UnknownModel:
        return set()


def _where(workers: Sequence[Heartbeat]) -> str:
    return ", ".join(f"{beat.host} process {beat.pid}" for beat in workers)
