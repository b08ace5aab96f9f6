"""The users of `rerank-fleet redis-acl` on real servers: each role works under its user, which may do nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis

from rerank_dev.ports import free_port
from rerank_ops.local.redis_server import EmbeddedServer
from rerank_ops.redis_acl import NEEDS, Role, User, script_commands, users
from rerank_shared.keys import Keys
from rerank_shared.settings import Settings, load_settings
from support.commands import CommandLine
from support.fleet import TestFleet
from support.queue.full_server import BINARIES, binary_of
from support.queue.monitor import Monitor
from support.queue.roles import (
    a_fleet_of_one_command_works,
    a_gateway_works,
    a_supervisor_is_scraped,
    a_supervisor_keeps_routes,
    an_operator_works,
    as_user,
    clients_work,
    leave_dead_letters,
    metrics_are_read,
    set_a_route,
)

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

NAMESPACE, DB = "acl", 1
KEYS = Keys(NAMESPACE)
#: Doctor asks for the points at which snapshots are made; an operator who may read the configuration reads passwords.
REFUSED_AND_TOLD = {("operator", "config|get")}
#: What no test can have happen at will: a worker that is full puts a wake-up back; a rollout's sample waits for long,
#: or meets pairs that others have claimed.
RARE: dict[str, set[str]] = {"worker": {"rpush"}, "operator": {"zscore", "unsubscribe"}}
SAMPLE = Path(__file__).parents[2] / "ops" / "redis" / "fleet-users.acl"


@dataclass(frozen=True)
class Worked:
    """A server on which every role has done its work."""

    settings: Settings
    port: int
    used: dict[str, set[str]]
    denied: set[tuple[str, str]]


@pytest.fixture(scope="module", params=BINARIES)
def worked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worked]:
    directory, port = tmp_path_factory.mktemp("acl"), free_port()
    with EmbeddedServer.start(port=port, binary=binary_of(request.param)) as server, redis.Redis(port=port) as admin:
        for user in users(KEYS, db=DB):
            admin.execute_command("ACL", "SETUSER", user.role, "on", ">secret", *user.rules)
        settings = load_settings(redis_url=f"redis://127.0.0.1:{port}/{DB}", namespace=NAMESPACE)
        leave_dead_letters(settings)
        set_a_route(settings)
        assert server.pid is not None
        with Monitor(port) as monitor, TestFleet(as_user(settings, "worker"), directory) as fleet:
            fleet.start()
            clients_work(as_user(settings, "client"), directory)
            a_supervisor_is_scraped(as_user(settings, "worker"))
            a_supervisor_keeps_routes(as_user(settings, "worker"))
            a_fleet_of_one_command_works(as_user(settings, "worker"), directory)
            a_gateway_works(as_user(settings, "gateway"), directory)
            metrics_are_read(as_user(settings, "metrics"), directory)
            an_operator_works(as_user(settings, "operator"), directory)
            fleet.stop()
        yield Worked(settings, port, dict(monitor.used), _denied(admin))


def _denied(admin: Any) -> set[tuple[str, str]]:
    def text(value: Any) -> str:
        return value.decode() if isinstance(value, bytes) else str(value)

    found = set()
    for entry in admin.execute_command("ACL", "LOG", 100):
        told = {
            text(name): text(value) for name, value in (entry.items() if isinstance(entry, dict) else _pairs(entry))
        }
        found.add((told["username"], told["object"]))
    return found


def _pairs(entry: list[Any]) -> Iterator[tuple[Any, Any]]:
    return zip(entry[::2], entry[1::2], strict=True)


def test_all_work_is_permitted(worked: Worked) -> None:
    assert worked.denied <= REFUSED_AND_TOLD


@pytest.mark.parametrize("role", NEEDS)
def test_every_command_is_needed(worked: Worked, role: Role) -> None:
    """A command is needed where it was sent, or where a script of the role calls it."""
    needed = worked.used[role] | {name for file in NEEDS[role].scripts for name in script_commands(file)}
    if role in ("gateway", "worker"):
        # A gateway does for its callers what clients do, and so does `bulk --up`.
        needed |= worked.used["client"]
    assert set(User(role, KEYS).commands) - needed - RARE.get(role, set()) == set()


def test_clients_count_their_routed_requests(worked: Worked) -> None:
    """The script that counts leaves out what its user may not write, and says nothing."""
    with redis.Redis(port=worked.port, db=DB) as admin:
        assert admin.hlen(KEYS.routed("asked", 1)) > 0


@pytest.mark.parametrize("role", NEEDS)
@pytest.mark.parametrize(
    "command",
    [
        ("FLUSHALL",),
        ("KEYS", "*"),
        ("CONFIG", "GET", "*"),
        ("GET", "other:celery-task-meta-1"),
        ("ACL", "LIST"),
        ("SCRIPT", "FLUSH"),
        ("SUBSCRIBE", "other:reply:1"),
        ("MONITOR",),
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_what_no_role_needs_is_refused(worked: Worked, role: Role, command: tuple[str, ...]) -> None:
    with as_role(worked, role) as client, pytest.raises(redis.exceptions.NoPermissionError):
        client.execute_command(*command)


@pytest.mark.parametrize("role", ["client", "gateway", "metrics"])
@pytest.mark.parametrize("key", ["score:digest", "worker:test-0", "artefact:model", "cost:model"])
def test_who_asks_can_not_write_what_workers_say(worked: Worked, role: Role, key: str) -> None:
    """Nobody who only sends requests can place a false score, or pass for a worker."""
    with as_role(worked, role) as client, pytest.raises(redis.exceptions.NoPermissionError):
        client.set(KEYS.prefix + key, "x")


def as_role(worked: Worked, role: Role) -> redis.Redis:
    return redis.Redis(port=worked.port, db=DB, username=role, password="secret")


def test_the_command_prints_what_was_tried_here() -> None:
    ran = CommandLine({}).run("redis-acl", RERANK_NAMESPACE="rerank")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == SAMPLE.read_text()
    assert ran.stdout.splitlines() == [user.line(f">{user.role.upper()}_PASSWORD") for user in users(Keys("rerank"))]


def test_the_command_makes_passwords_that_its_lines_know_as_hashes() -> None:
    ran = CommandLine({}).run("redis-acl", "client", "--new-passwords")
    ((name, password),) = [line.split() for line in ran.stderr.splitlines()]
    with EmbeddedServer.start() as server, redis.Redis.from_url(server.url) as admin:
        rules = ran.stdout.split()[2:]
        admin.execute_command("ACL", "SETUSER", name, *rules)
        with redis.Redis.from_url(server.url, username=name, password=password) as client:
            assert client.get(f"{Keys('rerank').prefix}x") is None


def test_a_role_that_is_unknown_is_told_with_those_that_are_not() -> None:
    ran = CommandLine({}).run("redis-acl", "clint")
    assert ran.returncode == 1
    assert ran.stderr == "error: there is no role 'clint'; roles are client, worker, gateway, metrics, operator\n"
