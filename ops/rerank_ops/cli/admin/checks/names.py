"""Check of the names of models: whether one name means different models, as where hosts have different fleet.toml."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from rerank_ops.cli.admin.checks.finding import Finding
from rerank_shared.contract.unreadable import name_of_bytes
from rerank_shared.fleet_state import FleetState, PoolState
from rerank_shared.keys import Keys


def read_names(client: Any, keys: Keys, now: float) -> dict[str, set[str]]:
    """Return the ids of the pools that each name was announced for. Raises Redis's errors."""
    names = [name_of_bytes(name) for name in client.zrangebyscore(keys.models, now, "+inf")]
    pipe = client.pipeline(transaction=False)
    for name in names:
        pipe.hgetall(keys.pools_of(name))
    return {name: set(map(name_of_bytes, found)) for name, found in zip(names, pipe.execute(), strict=True)}


def check_names(state: FleetState, names: Mapping[str, Collection[str]]) -> Iterator[Finding]:
    """Yield a finding on each name that means several models with live processes.

    Several pools of one model are no matter of names: `check_pools` tells of them.
    """
    live = [pool for pool in state.pools if pool.workers and pool.identity is not None]
    for name, pools in sorted(names.items()):
        found = [pool for pool in live if pool.id in pools]
        if len({pool.identity.model for pool in found if pool.identity is not None}) > 1:
            told = "; ".join(map(_where, found))
            yield Finding(
                "names",
                "warn",
                f"{name} means several models, among which its queries are divided: {told}",
                "give the name to one of them, in fleet.toml or the settings of all hosts",
            )


def _where(pool: PoolState) -> str:
    return f"{pool.model} on {', '.join(sorted({worker.host for worker in pool.workers}))}"
