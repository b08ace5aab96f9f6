"""What the doctor says of a server's memory: the risk of each policy, and the room that is left."""

from __future__ import annotations

from typing import Any

import pytest

from rerank_ops.cli.admin.checks.finding import Finding
from rerank_ops.cli.admin.checks.memory import CACHED_SCORE_BYTES, TYPICAL_JOB_BYTES, check_memory
from rerank_producer import RerankClient
from rerank_shared.cache import ScoreWrites
from rerank_shared.contract.messages import Score
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import connect
from rerank_shared.settings import Settings
from support.queue.full_server import BINARIES, fill_up, small_server

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


@pytest.mark.parametrize("policy", ["noeviction", "volatile-lru", "allkeys-lru"])
def test_without_a_limit_the_risk_is_the_machine_s_memory(policy: str) -> None:
    finding = found(policy, limit=0)["eviction"]
    assert "until the machine has no memory left" in finding.message
    assert "set maxmemory" in str(finding.fix)


@pytest.mark.parametrize(
    ("policy", "used", "expiring", "status", "room"),
    [
        ("noeviction", 50 * MEGABYTE, 0, "ok", 50 * MEGABYTE),
        ("noeviction", 90 * MEGABYTE, 500_000, "warn", 10 * MEGABYTE),
        ("noeviction", 100 * MEGABYTE, 500_000, "fail", 0),
        ("volatile-lru", 100 * MEGABYTE, 500_000, "ok", 500_000 * CACHED_SCORE_BYTES),
        ("volatile-lru", 100 * MEGABYTE, 10_000, "warn", 10_000 * CACHED_SCORE_BYTES),
        # A worker writes a handful of them all the time.
        ("volatile-lru", 100 * MEGABYTE, 9, "fail", 0),
        ("volatile-lru", 100 * MEGABYTE, 0, "fail", 0),
    ],
)
def test_the_room_is_told_in_jobs(policy: str, used: int, expiring: int, status: str, room: int) -> None:
    finding = found(policy, used=used, db0={"keys": expiring + 9, "expires": expiring})["memory"]
    assert finding.status == status
    assert f"for {room // TYPICAL_JOB_BYTES:,} jobs" in finding.message
    assert ("cached scores" in finding.message) == (policy != "noeviction" and expiring > 0)


@pytest.mark.integration
def test_a_cached_score_takes_what_it_is_said_to_take(settings: Settings) -> None:
    keys = Keys(settings.namespace)
    with connect(settings) as client:
        pipe = client.pipeline(transaction=False)
        writes = {bytes([number]) * 16: Score(1.0, 20, truncated=False) for number in range(200)}
        ScoreWrites(writes, 60).add_to(pipe, keys)
        pipe.execute()
        taken = [int(client.memory_usage(name) or 0) for name in client.scan_iter(f"{keys.prefix}*")]
    # The entry among those that have a life-time is not counted to a key.
    assert len(taken) >= 200
    assert sum(taken) / len(taken) == pytest.approx(CACHED_SCORE_BYTES, rel=0.3)


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
