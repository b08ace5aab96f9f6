"""What workers tell of themselves in Redis: the pools that they serve, their heartbeats, and what running costs.

`pools.py` reads the pools, `fleet_state.py` the rest.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from rerank_shared.contract import wire
from rerank_shared.contract.digest import pool_id
from rerank_shared.contract.messages import Heartbeat, ScoringIdentity
from rerank_shared.contract.unreadable import name_of_bytes, read_or_none
from rerank_shared.keys import (
    COST_KEPT_S,
    COST_TTL_S,
    HEARTBEAT_TTL_S,
    IDENTITY_TTL_S,
    Keys,
)
from rerank_shared.queue.lifetimes import end, keep
from rerank_shared.scheduling.cost import SharedCost


def announce(
    pipe: Any, keys: Keys, identity: ScoringIdentity, now: float, names: Collection[str] | None = None
) -> None:
    """Queue on a pipeline the announcement of the scoring identity that a worker serves; `now` is epoch seconds.

    `names` are those that requests may ask for it by, as the operator's settings call it too; None: its own alone.
    """
    record, pool, until = wire.encode_identity(identity), pool_id(identity), now + IDENTITY_TTL_S
    for name in names or [identity.model]:
        pipe.set(keys.identity(name), record, ex=IDENTITY_TTL_S)
        pipe.zadd(keys.models, {name: until})
        pipe.hset(keys.pools_of(name), pool, record)
        pipe.expire(keys.pools_of(name), IDENTITY_TTL_S)
    pipe.zadd(keys.pools, {pool: until})
    pipe.zremrangebyscore(keys.models, "-inf", now)
    pipe.zremrangebyscore(keys.pools, "-inf", now)


def beat(pipe: Any, keys: Keys, heartbeat: Heartbeat, now: float) -> None:
    """Queue a worker's heartbeat on a pipeline."""
    until = now + HEARTBEAT_TTL_S
    keep(pipe, keys, keys.worker(heartbeat.worker_id), wire.encode_heartbeat(heartbeat), until)
    for alive in _alive_in(keys, heartbeat.pools):
        pipe.zadd(alive, {heartbeat.worker_id: until})
        pipe.zremrangebyscore(alive, "-inf", now)
        if alive != keys.workers:
            # A full server may evict what Redis ends; without its members a live pool would look dead.
            pipe.zadd(keys.lifetimes, {alive: now + IDENTITY_TTL_S})


def share_cost(
    pipe: Any, keys: Keys, names: Iterable[str], field: str, cost: SharedCost, dropped: Sequence[bytes] = ()
) -> None:
    """Queue on a pipeline the measured cost under each name of the model; `field` is the `cost_field` of the worker.

    `dropped` are fields to delete, as `stale_costs` finds them.
    """
    for name in names:
        pipe.hset(keys.cost(name), field, wire.encode_cost(cost))
        pipe.expire(keys.cost(name), COST_TTL_S)
        if dropped:
            pipe.hdel(keys.cost(name), *dropped)


def cost_field(precision: str, host: str) -> str:
    """Return the field of a measured cost: processes of one host and precision share one."""
    return f"{precision}|{host}"


def read_costs(record: Mapping[bytes, bytes]) -> dict[str, SharedCost]:
    """Return the costs by `cost_field`, as `HGETALL` of `keys.cost(model)` answered, without those of other releases
    that can't be read."""
    found = {name_of_bytes(field): read_or_none("cost", wire.decode_cost, value) for field, value in record.items()}
    return {field: cost for field, cost in found.items() if cost is not None}


def stale_costs(record: Mapping[bytes, bytes], now: float) -> list[bytes]:
    """Return fields of the same answer that no worker has shared for `COST_KEPT_S`, or that can't be read; not more
    than one command of a script takes."""
    known = read_costs(record)
    fresh = {field for field, cost in known.items() if abs(now - cost.shared_at) <= COST_KEPT_S}
    return [field for field in record if name_of_bytes(field) not in fresh][:_DROPPED_AT_ONCE]


def deregister(pipe: Any, keys: Keys, worker_id: str, pools: Iterable[str] = ()) -> None:
    """Queue on a pipeline the end of a worker's heartbeat, which would otherwise count until it runs out."""
    end(pipe, keys, keys.worker(worker_id))
    for alive in _alive_in(keys, pools):
        pipe.zrem(alive, worker_id)


def leave_pools(pipe: Any, keys: Keys, worker_id: str, pools: Iterable[str]) -> None:
    """Queue on a pipeline that a live worker serves these pools no longer."""
    for pool in pools:
        pipe.zrem(keys.of(pool).workers, worker_id)


def deregister_dead(client: Any, keys: Keys, worker_id: str) -> None:
    """End the heartbeat of a worker that can't do it; its last one says which pools it served."""
    record = client.get(keys.worker(worker_id))
    beat = None if record is None else read_or_none("heartbeat", wire.decode_heartbeat, record)
    pipe = client.pipeline(transaction=False)
    deregister(pipe, keys, worker_id, () if beat is None else beat.pools)
    pipe.execute()


def _alive_in(keys: Keys, pools: Iterable[str]) -> list[str]:
    """Return the keys of the sets that a live worker of these pools is in."""
    of_pools = [keys.of(pool).workers for pool in pools]
    return [keys.workers, *of_pools, *([keys.pooled] if of_pools else [])]


_DROPPED_AT_ONCE = 1_000
