"""A server that accepts and does not answer, one that refuses, and one that restarts: what a worker says and does.

Each test has a server of its own, or none.
"""

from __future__ import annotations

import re
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis

from conftest import StartFleet
from rerank_ops.local.redis_server import EmbeddedServer
from rerank_producer import RerankClient
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import connect
from rerank_shared.settings import Settings, load_settings
from rerank_worker.consume.remote_control import node_name
from support.fleet import TestFleet
from support.jobs import passages
from support.waiting import wait_until

DOCUMENT = Path(__file__).parents[3] / "docs" / "redis.md"

pytestmark = [pytest.mark.integration, pytest.mark.faults, pytest.mark.timeout(300)]


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer.start(persistent=True) as running:
        yield running


@pytest.fixture
def admin(settings: Settings) -> Iterator[Any]:
    with connect(settings) as client:
        yield client


@pytest.fixture
def hole() -> Iterator[int]:
    """A port where connections are accepted, by the kernel, and nobody ever reads."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


def restricted(server: EmbeddedServer, admin: Any, *rules: str) -> str:
    """Return the URL of a user who may do what `rules` say."""
    admin.execute_command("ACL", "SETUSER", "few", "on", ">pw", *rules)
    return f"{server.url}?username=few&password=pw"


def living(start_fleet: StartFleet, **changes: object) -> TestFleet:
    """Start a worker and wait, long enough for a machine that is busy with others, until it lives."""
    fleet = start_fleet(wait=False, **changes)
    wait_until(lambda: fleet.state().workers, "the worker lives", bound_s=60)
    return fleet


def refused(fleet: TestFleet) -> str:
    """Wait for a worker's end with the status that says that starting again can't help; return what it said."""
    assert fleet.processes[0].wait(timeout=60) == 78
    return fleet.log()


def catches_sigterm(pid: int) -> bool:
    """Whether a process has a handler of its own, as Celery's consumer has once it starts."""
    (caught,) = re.findall(r"SigCgt:\t(\w+)", Path(f"/proc/{pid}/status").read_text())
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("scheme", ["redis", "rediss"])
def test_worker_before_a_hole_says_so_and_obeys(start_fleet: StartFleet, hole: int, scheme: str) -> None:
    fleet = start_fleet(wait=False, redis_url=f"{scheme}://127.0.0.1:{hole}/0")
    wait_until(lambda: "reason=silent" in fleet.log(), "the worker says that nobody answers", bound_s=60)
    wait_until(lambda: catches_sigterm(fleet.processes[0].pid), "Celery waits for the server", bound_s=60)
    fleet.processes[0].terminate()
    assert fleet.processes[0].wait(timeout=fleet.settings.grace_s) == 0
    assert fleet.log().count("waiting for redis") == 1


def test_worker_whose_server_freezes_says_so_and_obeys(
    start_fleet: StartFleet, server: EmbeddedServer, settings: Settings
) -> None:
    fleet = living(start_fleet)
    process = psutil.Process(server.pid)
    with RerankClient(settings) as client, ThreadPoolExecutor(1) as pool:
        pending = pool.submit(client.rerank, "which rooms?", passages(200), deadline_ms=8_000)
        wait_until(lambda: fleet.held_jobs() == 1, "the worker holds the job")
        process.suspend()
        try:
            wait_until(lambda: "redis is away: it does not answer in time" in fleet.log(), "the worker notices")
            fleet.processes[0].terminate()
            assert fleet.processes[0].wait(timeout=fleet.settings.grace_s) == 0
        finally:
            process.resume()
        assert not pending.result(timeout=60).complete


def test_restart_of_the_server_costs_few_lines_and_no_trace(
    start_fleet: StartFleet, server: EmbeddedServer, settings: Settings
) -> None:
    fleet = living(start_fleet)
    with RerankClient(settings) as client, ThreadPoolExecutor(8) as pool:
        pending = [pool.submit(client.rerank, f"room {n}?", passages(60), deadline_ms=90_000) for n in range(8)]
        wait_until(lambda: fleet.held_jobs() > 0, "the worker holds one or more")
        before = len(fleet.log().splitlines())
        server.kill()
        wait_until(lambda: "redis is away" in fleet.log(), "the worker notices")
        server.restart()
        assert all(each.result(timeout=100).complete for each in pending)
        wait_until(lambda: fleet.log().count("Connected to") == 2, "the worker is connected again")
    told = fleet.log().splitlines()[before:]
    assert len(told) <= 10, told
    assert "Traceback" not in fleet.log()


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        (
            ("~*", "&*", "+@all", "-@scripting"),
            "does not permit this user to run EVAL, while a worker tried to run scripts",
        ),
        (("~*", "resetchannels", "+@all"), "does not permit this user for a channel"),
        (("~other:*", "&*", "+@all"), "does not permit this user for a key"),
    ],
    ids=["scripts", "channels", "keys"],
)
def test_missing_permission_ends_a_worker(
    start_fleet: StartFleet, server: EmbeddedServer, admin: Any, rules: tuple[str, ...], says: str
) -> None:
    assert says in refused(start_fleet(wait=False, redis_url=restricted(server, admin, *rules)))


def test_wrong_password_ends_a_worker(start_fleet: StartFleet, server: EmbeddedServer, admin: Any) -> None:
    admin.config_set("requirepass", "right")
    assert "refuses the user name or password" in refused(start_fleet(wait=False, redis_url=f"{server.url}?password=x"))


def test_the_permissions_that_are_documented_suffice(
    start_fleet: StartFleet, server: EmbeddedServer, settings: Settings, admin: Any
) -> None:
    documented = re.findall(r"ACL SETUSER fleet on >secret (.+)", DOCUMENT.read_text())[0]
    rules = documented.replace("rerank:", Keys(settings.namespace).prefix).split()
    url = restricted(server, admin, *rules)
    living(start_fleet, redis_url=url)
    with RerankClient(load_settings(redis_url=url, namespace=settings.namespace)) as client:
        handle = client.submit("which rooms?", passages(3))
        assert client.collect(handle, timeout_ms=60_000).complete
        client.cancel(handle)


def test_replica_is_waited_for_until_it_is_promoted(
    start_fleet: StartFleet, server: EmbeddedServer, admin: Any
) -> None:
    admin.replicaof("127.0.0.1", 1)
    fleet = start_fleet(wait=False)
    wait_until(lambda: "reason=read_only" in fleet.log(), "the worker says that it is a replica")
    admin.replicaof("NO", "ONE")
    wait_until(lambda: fleet.state().workers, "the worker has connected", bound_s=60)
    assert "redis answers" in fleet.log()


def make_replica(admin: Any) -> None:
    admin.replicaof("127.0.0.1", 1)


def promote(admin: Any) -> None:
    admin.replicaof("NO", "ONE")


def forbid_scripts(admin: Any) -> None:
    admin.execute_command("ACL", "SETUSER", "few", "-@scripting")


def forbid_one_command(admin: Any) -> None:
    """One that nothing tries beforehand; the scripts that take jobs need it."""
    admin.execute_command("ACL", "SETUSER", "few", "-zrange", "-zrangebyscore", "-zpopmin", "-rpop")


def permit(admin: Any) -> None:
    admin.execute_command("ACL", "SETUSER", "few", "+@all")


def be_busy(admin: Any) -> None:
    """Run a script that takes longer than the server allows without a word to others."""
    admin.config_set("busy-reply-threshold", 100)
    with suppress(redis.RedisError):
        admin.eval("local t = redis.call('TIME')[1] while redis.call('TIME')[1] - t < 4 do end", 0)


@pytest.mark.parametrize(
    ("refuse", "mend"),
    [(make_replica, promote), (forbid_scripts, permit), (forbid_one_command, permit), (be_busy, permit)],
    ids=["replica", "scripts", "one_command", "busy"],
)
def test_a_worker_that_runs_outlasts_a_refusal(
    start_fleet: StartFleet,
    server: EmbeddedServer,
    settings: Settings,
    admin: Any,
    refuse: Callable[[Any], None],
    mend: Callable[[Any], None],
) -> None:
    fleet = living(start_fleet, redis_url=restricted(server, admin, "~*", "&*", "+@all"))
    wait_until(lambda: "ready" in fleet.log(), "the worker consumes", bound_s=60)
    before = len(fleet.log().splitlines())
    refuse(admin)
    # Long enough for a worker that does not wait to die of it, or to fill its log.
    time.sleep(3)
    mend(admin)
    with RerankClient(settings) as client:
        assert client.rerank("which rooms?", passages(3), deadline_ms=60_000).complete
    assert len(fleet.processes) == 1
    assert fleet.processes[0].poll() is None
    assert "Traceback" not in fleet.log()
    assert len(fleet.log().splitlines()) - before <= 20


def test_entries_of_killed_workers_go(start_fleet: StartFleet, settings: Settings, admin: Any) -> None:
    fleet = living(start_fleet)
    entries = Keys(settings.namespace).control_bindings
    assert len(admin.smembers(entries)) == 1
    fleet.kill()
    wait_until(lambda: not fleet.state().workers, "its heartbeat has ended")
    fleet.start(wait=False)
    wait_until(lambda: fleet.state().workers, "another one lives", bound_s=60)
    (left,) = admin.smembers(entries)
    assert node_name("test-1").encode() in left
