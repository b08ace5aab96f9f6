"""Check of the server: it answers and is new enough, its round trip, its access rights, memory and persistence."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from typing import Any

import redis

from rerank_ops.cli.admin.checks.finding import Finding
from rerank_ops.cli.admin.checks.memory import check_memory
from rerank_ops.local.redis_server import find_server, is_given, unsuitable
from rerank_shared.errors import ConfigurationError, QueueUnavailable
from rerank_shared.keys import Keys
from rerank_shared.redis.access import find_lacks, worst
from rerank_shared.redis.connections import connect, masked_url, outages_told
from rerank_shared.settings import Settings

_PINGS = 20


def check_server(settings: Settings) -> Iterator[Finding]:
    """Yield the findings on the server; one failure where it can't be reached."""
    try:
        with connect(settings) as client, outages_told(settings, "checking it"):
            yield from _look(client, settings)
    except ConfigurationError as error:
        yield Finding("server", "fail", error.message)
    except QueueUnavailable as error:
        yield Finding("server", "fail", error.message, None if is_given(settings) else _how_to_start())


def _look(client: redis.Redis, settings: Settings) -> Iterator[Finding]:
    latency_ms = _latency_ms(client)
    told = _info(client)
    where = f"at {masked_url(settings)}, {latency_ms:.2f} ms a round trip"
    if told is None:
        yield Finding("server", "warn", f"answers {where}; INFO is forbidden, so nothing else is known", "allow +info")
        yield _access(client, settings)
        return
    if fault := unsuitable(told):
        yield Finding("server", "fail", f"the server at {masked_url(settings)} {fault}", "use another server")
        return
    yield Finding("server", "ok", f"{_product(told)} {where}")
    yield _access(client, settings)
    yield from check_memory(told)
    yield _persistence(told, _save_points(client))


def _access(client: redis.Redis, settings: Settings) -> Finding:
    """Try every kind of command that a fleet needs, on a key of its own, and report the first that is refused."""
    lack = worst(find_lacks(client, Keys(settings.namespace)))
    if lack is None:
        return Finding("access", "ok", "keys, scripts and channels of this namespace may be used")
    told = f"Redis at {masked_url(settings)} {lack.outage.says}, asked to {lack.needs}"
    return Finding("access", "fail", told, lack.outage.remedy(tls=False))


def _latency_ms(client: redis.Redis) -> float:
    spent = []
    for _ in range(_PINGS):
        started = time.perf_counter()
        client.ping()
        spent.append((time.perf_counter() - started) * 1000)
    return statistics.median(spent)


def _info(client: redis.Redis) -> dict[str, Any] | None:
    try:
        told: dict[str, Any] = client.info()
    except redis.ResponseError:
        return None
    return told


def _product(told: dict[str, Any]) -> str:
    if valkey := told.get("valkey_version"):
        return f"Valkey {valkey}"
    return f"Redis {told.get('redis_version', 'of unknown version')}"


def _persistence(told: dict[str, Any], save_points: str | None) -> Finding:
    if told.get("aof_enabled"):
        return Finding("persistence", "ok", "append-only file")
    fix = "set appendonly to yes"
    if save_points is None:
        return Finding("persistence", "warn", "no append-only file; CONFIG is forbidden, so snapshots are unknown", fix)
    if save_points:
        return Finding("persistence", "ok", f"snapshots ({save_points}); what came after the last one can be lost")
    return Finding("persistence", "warn", "none: a restart of the server loses waiting jobs and all scores", fix)


def _save_points(client: redis.Redis) -> str | None:
    try:
        told: dict[str | None, str | None] = client.config_get("save")
    except redis.ResponseError:
        return None
    return told.get("save")


def _how_to_start() -> str:
    try:
        binary = find_server()
    except ConfigurationError as error:
        return error.message
    return f"`rerank-fleet up` starts {binary.path.name} {binary.version} by itself"
