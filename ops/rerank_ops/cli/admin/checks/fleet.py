"""Check of the running fleet as Redis records it: live workers, their pools, and the backlog."""

from __future__ import annotations

from collections.abc import Iterator

from rerank_ops.cli.admin.checks.finding import Finding
from rerank_ops.cli.admin.checks.names import check_names, read_names
from rerank_ops.cli.admin.checks.pools import check_pools, serve
from rerank_shared.contract.messages import name_of
from rerank_shared.errors import RerankError, UnknownModel
from rerank_shared.fleet_state import FleetState, read_state
from rerank_shared.keys import Keys
from rerank_shared.pools import read_pools
from rerank_shared.redis.connections import connect, outages_told
from rerank_shared.redis.server_clock import server_epoch
from rerank_shared.settings import Settings


def check_fleet(settings: Settings) -> Iterator[Finding]:
    """Yield the findings on workers, pools and backlog; needs a server that answers."""
    keys, model = Keys(settings.namespace), name_of(settings.model)
    try:
        with connect(settings) as client, outages_told(settings, "asking for the fleet's state"):
            state, now = read_state(client, keys, model), server_epoch(client)
            names = read_names(client, keys, now)
            pools = read_pools(client, keys, model, now)
    except UnknownModel as error:
        yield Finding("workers", "fail", error.message, "set RERANK_MODEL to a model that is served, or serve this one")
        return
    except RerankError as error:
        yield Finding("workers", "fail", error.message)
        return
    yield _workers(state, settings)
    if state.workers and pools and not any(pool.processes for pool in pools):
        yield _not_served(model)
    yield from check_pools(state)
    yield from check_names(state, names)
    yield _backlog(state, settings)


def _workers(state: FleetState, settings: Settings) -> Finding:
    if not state.workers:
        message = f"none alive in namespace {settings.namespace!r}; only cached requests are answered"
        return Finding("workers", "warn", message, "start some with `rerank-fleet worker`")
    hosts = sorted({worker.host for worker in state.workers})
    return Finding(
        "workers",
        "ok",
        f"{len(state.workers)} alive on {', '.join(hosts)}, {state.tokens_per_s:,.0f} tokens/s together",
    )


def _not_served(model: str) -> Finding:
    message = f"no live process serves {model}, the model of these settings: requests that name none wait for one"
    fix = f"set RERANK_MODEL to a model that is served, or serve this one: {serve(model)}"
    return Finding("workers", "warn", message, fix)


def _backlog(state: FleetState, settings: Settings) -> Finding:
    if not any(backlog.jobs for backlog in state.backlog.values()):
        return Finding("backlog", "ok", "nothing waits")
    waiting = " and ".join(f"{backlog.jobs:,} {job_class}" for job_class, backlog in state.backlog.items())
    message = f"{waiting} jobs unanswered, predicted to be done in {_duration(state.predicted_drain_s)}"
    if state.drain_s("interactive") * 1000 > settings.default_deadline_ms:
        return Finding("backlog", "warn", f"{message}: interactive requests miss their deadline", "start more workers")
    return Finding("backlog", "ok", message)


def _duration(seconds: float) -> str:
    return f"{seconds:,.1f} s" if seconds != float("inf") else "unknown time"
