"""What the doctor says of pools: as they should be, in a rollout, left behind, beside an earlier release."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from rerank_ops.cli.admin.checks.fleet import check_fleet
from rerank_ops.cli.admin.checks.pools import check_pools
from rerank_shared import fleet
from rerank_shared.contract.messages import Heartbeat, ScoringIdentity
from rerank_shared.fleet_state import Backlog, FleetState, PoolState
from rerank_shared.keys import JOB_CLASSES, Keys
from rerank_shared.redis.connections import connect
from rerank_shared.scheduling.cost import Work
from rerank_shared.settings import Settings
from support.pools import IDENTITY, announce

NEXT = replace(IDENTITY, model_digest="cc" * 32)
SMALL = replace(IDENTITY, model="org/small")


def pool(name: str, identity: ScoringIdentity | None, *hosts: str, jobs: int = 0) -> PoolState:
    workers = tuple(Heartbeat(f"{host}-w", "org/name", host, 1, None, 0.0, 0.0, 0, 0, pools=(name,)) for host in hosts)
    backlog = {each: Backlog(0, Work(), 0) for each in JOB_CLASSES} | {"bulk": Backlog(jobs, Work(), jobs)}
    return PoolState(name, workers, backlog, None, identity)


def checked(*pools: PoolState, older: int = 0) -> list[tuple[str, str, str, str | None]]:
    alive = [worker for each in pools for worker in each.workers]
    alive += [Heartbeat(f"o{number}", "org/name", "old-host", 1, None, 0.0, 0.0, 0, 0) for number in range(older)]
    state = FleetState(tuple(alive), (pool("", None), *pools))
    return [(found.name, found.status, found.message, found.fix) for found in check_pools(state)]


def test_each_model_with_its_pool() -> None:
    assert checked(pool("51", SMALL, "a"), pool("b1", IDENTITY, "a", "b")) == [
        ("pools", "ok", "org/name: pool b1 (int8, aa, 2 processes)", None),
        ("pools", "ok", "org/small: pool 51 (int8, aa, 1 process)", None),
    ]


def test_two_live_pools_of_a_name_say_what_differs_and_where() -> None:
    ((_, status, message, fix),) = checked(pool("b1", IDENTITY, "a", "b"), pool("c1", NEXT, "c"))
    assert status == "warn"
    assert "pool b1 (int8, aa, 2 processes); pool c1 (int8, cccccccccccc, 1 process)" in message
    assert "they differ in model digest: b1 on a, b; c1 on c" in message
    assert fix is not None
    assert "rollout" in fix
    ((*_, message, _),) = checked(pool("b1", IDENTITY, "a"), pool("b2", replace(IDENTITY, precision="fp32"), "b"))
    assert "they differ in precision: b1 on a; b2 on b" in message


def test_jobs_without_a_process() -> None:
    ((_, status, message, fix),) = checked(pool("51", SMALL, jobs=3))
    assert status == "warn"
    assert fix == "serve it: `rerank-fleet models load org/small` or `rerank-fleet worker --model org/small`"
    assert message.endswith("(int8, aa, 0 processes). 3 jobs wait where no process is alive")
    ((_, status, _, fix),) = checked(pool("b1", IDENTITY, jobs=3), pool("c1", NEXT, "c"))
    assert status == "warn"
    assert fix is not None
    assert "take them over" in fix


def test_a_pool_that_nobody_announces() -> None:
    found = checked(pool("51", None, "a"), pool("52", None, "b"), pool("53", None, jobs=1))
    assert [status for _, status, *_ in found] == ["ok", "ok", "warn"]
    assert found[0][2] == "a model that is not announced any more: pool 51 (1 process)"
    assert found[2][3] == "start workers of its model"


def test_many_hosts_are_not_all_told() -> None:
    ((*_, message, _),) = checked(pool("b1", IDENTITY, *"abcdef"), pool("c1", NEXT, "z"))
    assert "b1 on a, b, c, d and 2 more; c1 on z" in message


def test_workers_of_an_earlier_release() -> None:
    assert checked(older=2) == []
    (_, (name, status, message, _)) = checked(pool("b1", IDENTITY, "a"), older=2)
    assert (name, status) == ("releases", "warn")
    assert message.startswith("2 processes of an earlier release beside pools, on old-host")


@pytest.mark.integration
def test_on_a_server(settings: Settings, namespace: str) -> None:
    keys, soon = Keys(namespace), time.time() + 60.0
    with connect(settings) as client:
        pools = [announce(client, keys, replace(each, model=settings.model), each.model_digest, now=soon)
                 for each in (IDENTITY, NEXT)]  # fmt: skip
        fleet.beat(pipe := client.pipeline(), keys, Heartbeat("o", "m", "old", 1, None, 0.0, 0.0, 0, 0), soon)
        pipe.execute()
    found = {finding.name: finding for finding in check_fleet(settings)}
    assert all(each in found["pools"].message for each in pools)
    assert [found[name].status for name in ("workers", "pools", "releases", "backlog")] == ["ok", "warn", "warn", "ok"]


@pytest.mark.integration
def test_a_model_of_the_settings_that_no_live_process_serves(settings: Settings, namespace: str) -> None:
    """As after `rerank-fleet models unload` in all processes: its name is known for a day."""
    keys, soon = Keys(namespace), time.time() + 60.0

    def told() -> list[tuple[str, str]]:
        return [(finding.status, finding.message) for finding in check_fleet(settings) if finding.name == "workers"]

    with connect(settings) as client:
        announce(client, keys, replace(NEXT, model=settings.model), now=soon)
        announce(client, keys, SMALL, "w", now=soon)
        alive = ("ok", "1 alive on host, 1,000 tokens/s together")
        why = f"no live process serves {settings.model}, the model of these settings: requests that name none wait"
        assert told() == [alive, ("warn", f"{why} for one")]
        announce(client, keys, replace(NEXT, model=settings.model), "v", now=soon)
        assert [status for status, _ in told()] == ["ok"]


def test_a_model_that_the_last_process_has_unloaded() -> None:
    _, (_, status, message, _) = checked(pool("b1", IDENTITY, "a"), pool("51", SMALL))
    assert (status, message.partition(": ")[2].partition(".")[0]) == ("ok", "org/small")
    assert "waits for a process, until its deadline" in message
    # Its name is served by another pool.
    assert len(checked(pool("b1", IDENTITY, "a"), pool("c1", NEXT))) == 1
    # Nothing is: that is told once, of all.
    assert checked(pool("51", SMALL)) == []
