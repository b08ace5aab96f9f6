"""The leases of a child that was killed: ended at once, and no others; without a server nothing is delayed."""

from __future__ import annotations

import logging
import os
import signal
from pathlib import Path

import pytest

from rerank_shared.keys import Keys
from rerank_shared.redis.connections import connect
from rerank_shared.settings import Settings, load_settings
from rerank_worker.supervisor.release_leases import release_leases_soon
from rerank_worker.supervisor.supervisor import Supervisor
from support.supervised import QUICK, Children, poll_until
from support.waiting import wait_until


def test_a_killed_child_s_leases_and_heartbeat_end_and_its_sibling_s_do_not(settings: Settings, tmp_path: Path) -> None:
    keys, children = Keys(settings.namespace), Children(tmp_path)
    supervisor = Supervisor(settings, 2, command=children.command(), policy=QUICK)
    with connect(settings) as client, supervisor:
        poll_until(supervisor, lambda: len(children.started()) == 2, "both children")
        names = {pid: environ["FLEET_WORKER_NAME"] for pid, environ in children.started().items()}
        client.hset(keys.lease_owners, mapping={f"tag-{pid}": name for pid, name in names.items()})
        client.zadd(keys.leases, {f"tag-{pid}": 1e9 for pid in names})
        client.zadd(keys.workers, dict.fromkeys(names.values(), 2e9))
        victim, other = names
        os.kill(victim, signal.SIGKILL)
        poll_until(supervisor, lambda: client.zscore(keys.leases, f"tag-{victim}") == 0, "its lease to end")
        assert client.zscore(keys.leases, f"tag-{other}") == 1e9
        poll_until(supervisor, lambda: client.zrange(keys.workers, 0, -1) == [names[other].encode()], "its heartbeat")


def test_a_child_that_was_told_to_end_keeps_its_leases(settings: Settings, tmp_path: Path) -> None:
    """It gives its jobs back itself; and what a supervisor kills after its grace is nobody's poison."""
    keys, children = Keys(settings.namespace), Children(tmp_path)
    hasty = load_settings(**(settings.model_dump(exclude_none=True) | {"grace_s": 0.5}))
    with connect(settings) as client:
        with Supervisor(hasty, 1, command=children.command("stubborn"), policy=QUICK) as supervisor:
            poll_until(supervisor, children.started, "the child")
            ((_, environ),) = children.started().items()
            client.hset(keys.lease_owners, "tag", environ["FLEET_WORKER_NAME"])
            client.zadd(keys.leases, {"tag": 1e9})
        assert client.zscore(keys.leases, "tag") == 1e9


def test_without_a_server_it_is_said_and_left(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    release_leases_soon(load_settings(redis_url="unix:///nowhere/redis.sock"), "worker-1")
    wait_until(
        lambda: "leases not released, they run out by themselves name=worker-1" in caplog.text, "the line in the log"
    )
