"""Check of the pools of a fleet: which models have workers, whether all of a name serve the same, who is left behind.

Pure: it judges a state that was read.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import fields
from itertools import groupby

from rerank_ops.cli.admin.checks.finding import Finding
from rerank_shared.contract.messages import Heartbeat, ScoringIdentity
from rerank_shared.fleet_state import FleetState, PoolState

#: Enough of a digest to tell two models apart.
_DIGEST_CHARS = 12
#: In a finding, before it says how many more there are.
_HOSTS = 4
_UNKNOWN = "a model that is not announced any more"


def check_pools(state: FleetState) -> Iterator[Finding]:
    """Yield a finding on each model's name, and one on workers of an earlier release."""
    pools = sorted(state.pools, key=lambda pool: (_group(pool), -len(pool.workers), pool.id))
    for _, found in groupby(pools, _group):
        yield _model(list(found))
    older = [worker for worker in state.workers if not worker.pools]
    if older and pools:
        yield Finding(
            "releases",
            "warn",
            f"{_processes(len(older))} of an earlier release beside pools, on {_hosts(older)}: they take jobs of the "
            "common queue alone",
            "upgrade them",
        )
    if state.workers and (idle := _without_processes(state)):
        message = f"announced within a day, and served by no live process: {', '.join(idle)}"
        yield Finding("pools", "ok", f"{message}. A request for one waits for a process, until its deadline")


def serve(model: str) -> str:
    """Return the commands that let a model be served, in live processes or in a new one."""
    name = shlex.quote(model)
    return f"`rerank-fleet models load {name}` or `rerank-fleet worker --model {name}`"


def _without_processes(state: FleetState) -> list[str]:
    """Return the models that are announced, and have no live process and no jobs, by any of their pools."""
    seen = {pool.model for pool in state.pools}
    return sorted({pool.model for pool in state.queues[1:] if pool.model and pool.model not in seen})


def _group(pool: PoolState) -> tuple[str, str]:
    """Return what pools of one name share; one without a name shares it with none."""
    return (pool.model, "") if pool.model else ("", pool.id)


def _model(pools: Sequence[PoolState]) -> Finding:
    name = pools[0].model
    live = [pool for pool in pools if pool.workers]
    told = f"{name or _UNKNOWN}: {'; '.join(map(_pool, pools))}"
    if left := [pool for pool in pools if not pool.workers]:
        jobs = sum(backlog.jobs for pool in left for backlog in pool.backlog.values())
        fix = f"serve it: {serve(name)}" if name else "start workers of its model"
        if live:
            fix = "the other workers of this name take them over within seconds; run this again"
        return Finding("pools", "warn", f"{told}. {jobs:,} jobs wait where no process is alive", fix)
    if len(live) > 1:
        differ = " and ".join(_differences([pool.identity for pool in live if pool.identity is not None]))
        where = "; ".join(f"{pool.id} on {_hosts(pool.workers)}" for pool in live)
        return Finding(
            "pools",
            "warn",
            f"{told}. Queries are divided among them, and they differ in {differ}: {where}",
            "a rollout ends this by itself; without one, start all workers of this name with one model and precision",
        )
    return Finding("pools", "ok", told)


def _pool(pool: PoolState) -> str:
    of = "" if pool.identity is None else f"{pool.identity.precision}, {pool.identity.model_digest[:_DIGEST_CHARS]}, "
    return f"pool {pool.id} ({of}{_processes(len(pool.workers))})"


def _differences(identities: Sequence[ScoringIdentity]) -> Iterator[str]:
    """Yield the names of what differs among identities, as a reader calls them."""
    for each in fields(ScoringIdentity):
        if len({getattr(identity, each.name) for identity in identities}) > 1:
            yield each.name.replace("_", " ")


def _hosts(workers: Sequence[Heartbeat]) -> str:
    found = sorted({worker.host for worker in workers})
    more = f" and {len(found) - _HOSTS} more" if len(found) > _HOSTS else ""
    return ", ".join(found[:_HOSTS]) + more


def _processes(count: int) -> str:
    return "1 process" if count == 1 else f"{count:,} processes"
