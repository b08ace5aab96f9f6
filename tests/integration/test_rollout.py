"""Rollouts with real parts: a gateway under load, workers of two models, and the command, killed and alone."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from conftest import StartFleet, StartGateway
from rerank_ops.local.redis_server import EmbeddedServer
from rerank_ops.rollout.course import Course
from rerank_ops.rollout.record import Records
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import connect
from rerank_shared.route_store.store import RouteStore
from rerank_shared.routing.rollout import Record
from rerank_shared.routing.rollout_plan import Plan
from rerank_shared.routing.spec import read_route
from rerank_shared.settings import Settings, bare_environ, load_settings, to_environ
from support.commands import CommandLine, Running, Spawn
from support.fleet import TestFleet
from support.http.gateway import TestGateway
from support.jobs import passages
from support.model.exports import write_export
from support.waiting import wait_until

pytestmark = pytest.mark.integration
OLD, NEW = "tests/random-0", "tests/random-1"
#: Of two equal models on a busy machine no duration says anything.
ANY_SPEED = ("--max-p95-ratio", "1000")


@dataclass
class Load:
    """Requests for the route through a gateway, one after another in each thread, until the block ends."""

    gateway: TestGateway
    deadline_ms: int
    statuses: Counter[int] = field(default_factory=Counter)
    versions: Counter[str] = field(default_factory=Counter)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def ask(self, http: httpx.Client) -> None:
        body = {"query": f"rooms of house {next(self._numbers)}?", "documents": passages(3), "model": "search"}
        answer = http.post("/v2/rerank", json=body, headers={"X-Rerank-Deadline-Ms": str(self.deadline_ms)})
        self.statuses[answer.status_code] += 1
        self.versions[answer.headers.get("x-rerank-route", "")] += 1

    @contextmanager
    def running(self, threads: int = 3) -> Iterator[Load]:
        stop = threading.Event()

        def run() -> None:
            with self.gateway.client() as http:
                while not stop.is_set():
                    self.ask(http)

        running = [threading.Thread(target=run) for _ in range(threads)]
        for thread in running:
            thread.start()
        try:
            yield self
        finally:
            stop.set()
            for thread in running:
                thread.join()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Sources of the two models, by their names."""
    folder = tmp_path_factory.mktemp("exports")
    return {
        name: f"file:{write_export(folder / str(seed), layouts=('unpadded',), seed=seed)}"
        for seed, name in enumerate((OLD, NEW))
    }


@pytest.fixture
def store(settings: Settings) -> Iterator[RouteStore]:
    with connect(settings) as client:
        yield RouteStore(client, Keys(settings.namespace))


@pytest.fixture
def command(settings: Settings) -> CommandLine:
    return CommandLine(bare_environ() | to_environ(settings))


@pytest.fixture
def spawn(settings: Settings, tmp_path: Path) -> Iterator[Spawn]:
    spawned = Spawn(bare_environ() | to_environ(settings), tmp_path, [])
    yield spawned
    for each in spawned.started:
        if each.process.poll() is None:
            each.process.kill()
            each.process.wait()


@pytest.fixture
def fleet(start_fleet: StartFleet, models: dict[str, str], store: RouteStore) -> TestFleet:
    """A worker of the old model, and a route to it."""
    store.set(read_route("search", {"shares": {OLD: 1}}))
    return start_fleet(model=models[OLD], models=(models[OLD],))


def add_worker(fleet: TestFleet, source: str) -> None:
    """Start one more process, for another model."""
    fleet.settings = load_settings(
        **(fleet.settings.model_dump(exclude_none=True) | {"model": source, "models": (source,)})
    )
    fleet.start()


def shares(store: RouteStore) -> dict[str, float]:
    return {share.model: share.weight for share in store.table().live["search"].shares}


def ended(running: Running) -> tuple[int, str]:
    """Return exit status and output of a command, once it has ended."""
    status = running.process.wait(timeout=90)
    return status, running.log.read_text()


def test_a_route_goes_over_under_load_and_no_request_fails(
    fleet: TestFleet,
    models: dict[str, str],
    store: RouteStore,
    start_gateway: StartGateway,
    spawn: Spawn,
    tmp_path: Path,
) -> None:
    sample = tmp_path / "sample.jsonl"
    sample.write_text("".join(json.dumps({"query": f"q{n}", "documents": passages(4)}) + "\n" for n in range(3)))
    gateway = start_gateway(fleet.settings).wait_ready()
    with Load(gateway, deadline_ms=60_000).running() as load:
        options = ("--steps", "30,100", "--hold", "2s", "--min-requests", "20", "--drift-sample", str(sample))
        rollout = spawn("rerank-fleet", "rollout", "search", NEW, *options, *ANY_SPEED)
        rollout.wait_for(f"waits for workers of {NEW}")
        add_worker(fleet, models[NEW])
        status, output = ended(rollout)
        assert status == 0, output
        # The old workers stop as the command says, and the load goes on.
        old = fleet.processes[0]
        assert f"no route leads to {OLD}. Processes that serve it: " in output
        assert f"process {old.pid}" in output
        old.send_signal(signal.SIGTERM)
        old.wait(timeout=30)
        asked = load.statuses.total()
        wait_until(lambda: load.statuses.total() > asked + 20, "the load goes on")
    assert set(load.statuses) == {200}
    assert shares(store) == {NEW: 100.0}
    assert "Spearman" in output
    assert f"search: version 2, {NEW} 30 %" in output
    assert f"search: leads to {NEW} alone, version 3" in output
    assert {"search; version=1", "search; version=2", "search; version=3"} <= set(load.versions)


@pytest.mark.faults
def test_a_new_model_that_stops_answering_goes_back_with_the_reason(
    fleet: TestFleet,
    models: dict[str, str],
    store: RouteStore,
    start_gateway: StartGateway,
    spawn: Spawn,
    command: CommandLine,
) -> None:
    add_worker(fleet, models[NEW])
    gateway = start_gateway(fleet.settings).wait_ready()
    with Load(gateway, deadline_ms=1_500).running() as load:
        options = ("--steps", "50,100", "--hold", "10m", "--min-requests", "20")
        rollout = spawn("rerank-fleet", "rollout", "search", NEW, *options, *ANY_SPEED)
        rollout.wait_for("version 2")
        wait_until(lambda: load.versions["search; version=2"] > 5, "the step has requests")
        fleet.kill(1)
        # The hold of ten minutes is not waited out.
        status, output = ended(rollout)
        assert status == 1, output
        assert shares(store) == {OLD: 100.0}
        before = load.statuses[200]
        wait_until(lambda: load.statuses[200] > before + 20, "the old model answers")
    assert load.versions["search; version=3"] > 20
    assert "goes back: " in output
    assert f"requests to {NEW} failed" in output or f"no live worker has served {NEW}" in output
    assert "error: the rollout of search went back: " in output
    told = json.loads(command.run("rollout", "search", "--status", "--json").stdout)
    assert (told["state"], told["percent"]) == ("returned", 0.0)
    assert told["new_requests"] > 0, "the figures of the step that it went back from"


@pytest.mark.faults
def test_a_killed_rollout_goes_on_and_meanwhile_no_second_one_begins(
    fleet: TestFleet,
    models: dict[str, str],
    store: RouteStore,
    start_gateway: StartGateway,
    spawn: Spawn,
    command: CommandLine,
) -> None:
    add_worker(fleet, models[NEW])
    gateway = start_gateway(fleet.settings).wait_ready()
    options = ("--steps", "40,100", "--hold", "1s", "--max-hold", "1h", "--min-requests", "5", *ANY_SPEED)
    # Without requests the first step is held.
    first = spawn("rerank-fleet", "rollout", "search", NEW, *options)
    first.wait_for("holds longer: tests/random-1 has ended 0 of the 5 requests")
    second = command.run("rollout", "search", NEW, *options)
    assert (second.returncode, "is led by" in second.stderr) == (1, True), second.stderr
    status = json.loads(command.run("rollout", "search", "--status", "--json").stdout)
    assert (status["state"], status["percent"], status["new"]) == ("holding", 40.0, NEW)
    first.end(signal.SIGKILL)
    other = command.run("rollout", "search", NEW)
    assert "with other options is at 40 %" in other.stderr
    with Load(gateway, deadline_ms=60_000).running() as load:
        ended_with, output = ended(spawn("rerank-fleet", "rollout", "search", NEW, *options))
        assert ended_with == 0, output
    assert "goes on from 40 %" in output
    assert set(load.statuses) == {200}
    assert (shares(store), store.table().version("search")) == ({NEW: 100.0}, 3)


def test_an_operator_takes_a_rollout_back_or_changes_the_route(
    fleet: TestFleet, models: dict[str, str], store: RouteStore, spawn: Spawn, command: CommandLine
) -> None:
    add_worker(fleet, models[NEW])
    assert "no rollout of 'search' is under way" in command.run("rollout", "search", "--abort").stderr
    first = spawn("rerank-fleet", "rollout", "search", NEW)
    first.wait_for("version 2")
    aborted = command.run("rollout", "--abort", "search")
    assert aborted.returncode == 0, aborted.stderr
    assert shares(store) == {OLD: 100.0}
    told = json.loads(command.run("rollout", "search", "--status", "--json").stdout)
    assert (told["state"], told["percent"]) == ("aborted", 0.0), "the share in force, not that of the step"
    status, output = ended(first)
    assert (status, "was taken over by" in output) == (1, True), output
    second = spawn("rerank-fleet", "rollout", "search", NEW)
    second.wait_for(f"version 4, {NEW} 1 %")
    store.set(read_route("search", {"shares": {OLD: 1, NEW: 1}}))
    status, output = ended(second)
    assert (status, "somebody else has changed the route: it has version 5" in output) == (1, True), output
    assert shares(store) == {OLD: 1.0, NEW: 1.0}
    assert json.loads(command.run("rollout", "search", "--status", "--json").stdout)["percent"] == 50.0
    assert "leads to" in command.run("rollout", "search", NEW).stderr


@pytest.mark.faults
def test_redis_away_is_waited_out(start_fleet: StartFleet, models: dict[str, str], namespace: str) -> None:
    with EmbeddedServer.start() as own:
        start_fleet(redis_url=own.url, models=(models[OLD], models[NEW]), model=models[OLD])
        changed = load_settings(redis_url=own.url, namespace=namespace)
        with connect(changed, timeout_s=0.3) as client:
            store = RouteStore(client, keys := Keys(namespace))
            route = store.set(read_route("search", {"shares": {OLD: 1}}))
            said: list[str] = []
            record = Record("search", OLD, NEW, Plan(steps=(50.0, 100.0)), (route.version,))
            course = Course(changed, store, Records(client, keys, "search"), record, said.append)

            def wait(_: float) -> bool:
                """Freeze the server after the first step, and end the course once that is over."""
                if len(said) == 1:
                    client.client_pause(2_000)
                return any("is back" in line for line in said)

            left = course.run(wait)
            assert left.state == "holding"
            assert shares(store) == {OLD: 50.0, NEW: 50.0}
            assert "The rollout waits." in said[1]


def test_what_can_not_begin_is_refused(store: RouteStore, command: CommandLine) -> None:
    def refused(*arguments: str) -> str:
        ran: subprocess.CompletedProcess[str] = command.run("rollout", *arguments)
        assert ran.returncode != 0
        return ran.stderr

    assert "there is no route 'search'" in refused("search", NEW)
    store.set(read_route("search", {"shares": {OLD: 1}}))
    assert f"leads to {OLD} already" in refused("search", OLD)
    assert "no live worker serves" in refused("search", NEW, "--wait", "1s")
    assert shares(store) == {OLD: 1.0}
    for wrong in (("--steps", "5,1,100"), ("--steps", "1,5"), ("--hold", "0s"), ("--max-drift", "0.1"), ("--status",)):
        assert "Usage" in refused("search", NEW, *wrong)
