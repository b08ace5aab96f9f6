"""What the doctor says of a server's memory: the risk of each policy, and the room that is left."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from rerank_ops.cli.checks.finding import Finding
from rerank_ops.cli.checks.memory import TYPICAL_JOB_BYTES, check_memory
from rerank_producer import RerankClient
from rerank_shared.connections import connect
from rerank_shared.keys import Keys
from rerank_shared.settings import Settings
from support.full_server import BINARIES, fill_up, small_server

MEGABYTE = 1_000_000


def found(policy: str, limit: int = 100 * MEGABYTE, used: int = 0, **told: Any) -> dict[str, Finding]:
    told |= {"maxmemory_policy": policy, "maxmemory": limit, "used_memory": used}
    return {finding.name: finding for finding in check_memory(told)}


@pytest.mark.parametrize(
    ("policy", "status", "says"),
    [
        ("noeviction", "ok", "refuses new jobs and drains"),
        ("volatile-lru", "ok", "never a job"),
        ("volatile-lfu", "ok", "never a job"),
        ("volatile-ttl", "warn", "what API keys have spent"),
        ("volatile-random", "warn", "what API keys have spent"),
        ("allkeys-lru", "warn", "throws away jobs"),
        ("allkeys-lfu", "warn", "throws away jobs"),
        ("allkeys-random", "warn", "throws away jobs"),
        ("of the future", "warn", "throws away jobs"),
    ],
)
def test_each_policy_is_told_with_its_risk(policy: str, status: str, says: str) -> None:
    finding = found(policy)["eviction"]
    assert finding.status == status
    assert says in finding.message
    assert (finding.fix is None) == (status == "ok")


def test_jobs_that_were_thrown_away_are_counted() -> None:
    assert "1,234 keys so far" in found("allkeys-lru", evicted_keys=1_234)["eviction"].message


def test_a_server_without_a_limit_has_no_room_to_tell() -> None:
    findings = found("noeviction", limit=0)
    assert list(findings) == ["eviction"]
    assert "no maxmemory" in findings["eviction"].message


@pytest.mark.parametrize(
    ("policy", "used", "spaces", "status"),
    [
        ("noeviction", 50 * MEGABYTE, {}, "ok"),
        ("noeviction", 90 * MEGABYTE, {"db0": {"keys": 9, "expires": 9}}, "warn"),
        ("noeviction", 100 * MEGABYTE, {"db0": {"keys": 9, "expires": 9}}, "fail"),
        ("volatile-lru", 100 * MEGABYTE, {"db0": {"keys": 9, "expires": 9}}, "ok"),
        ("volatile-lru", 100 * MEGABYTE, {"db0": {"keys": 9, "expires": 0}}, "fail"),
    ],
)
def test_the_room_is_told_in_jobs(policy: str, used: int, spaces: Mapping[str, Any], status: str) -> None:
    finding = found(policy, used=used, **spaces)["memory"]
    assert finding.status == status
    assert f"room for {(100 * MEGABYTE - used) // TYPICAL_JOB_BYTES:,} jobs" in finding.message


@pytest.mark.integration
def test_a_typical_job_takes_what_it_is_said_to_take(settings: Settings) -> None:
    keys = Keys(settings.namespace)
    with connect(settings) as client, RerankClient(settings) as producer:
        producer.submit("where do they live?", ["x" * 400] * 50)
        own = list(client.scan_iter(f"{keys.prefix}*"))
        taken = sum(int(client.memory_usage(name) or 0) for name in own)
    assert taken == pytest.approx(TYPICAL_JOB_BYTES, rel=0.2)


@pytest.mark.integration
@pytest.mark.parametrize("binary", BINARIES)
def test_a_real_server_that_is_full_is_told(binary: str) -> None:
    with small_server(binary) as server, connect(Settings(redis_url=server.url)) as client:
        assert {finding.status for finding in check_memory(client.info())} == {"ok"}
        fill_up(client, Keys("full"))
        eviction, memory = check_memory(client.info())
    assert (eviction.status, memory.status) == ("ok", "fail")
    assert "new jobs are refused" in memory.message
