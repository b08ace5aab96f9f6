"""Celery's own tools on a real fleet: Flower, a Prometheus exporter, `inspect` and `control`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from conftest import StartFleet
from rerank_dev.ports import free_port
from rerank_ops.local.redis_server import EmbeddedServer
from rerank_ops.redis_acl import users
from rerank_producer import RerankClient
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import connect
from rerank_shared.settings import Settings, bare_environ, to_environ
from support.jobs import passages
from support.queue.roles import as_user, celery
from support.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

#: The Python of an environment that holds the exporter, whose releases need an older redis-py than the fleet does.
EXPORTER = os.environ.get("RERANK_TEST_EXPORTER_PYTHON") or str(
    Path(__file__).parents[2] / ".venv-exporter" / "bin" / "python"
)
WORKER = "rerank@test-0"


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    """On a port: the exporter reads no URL of a socket."""
    with EmbeddedServer.start(port=free_port()) as running:
        yield running


@contextmanager
def started(command: list[str], environ: dict[str, str], log: Path) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environ, stdout=output, stderr=subprocess.STDOUT, cwd=log.parent)
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)


def while_asking(settings: Settings, seen: Callable[[], Any], what: str) -> Any:
    """Send requests until `seen` returns something; a tool learns of tasks that come after it."""

    def ask() -> Any:
        with RerankClient(settings) as client:
            assert client.rerank("rooms?", passages(1, words=5), deadline_ms=60_000, partial=False).complete
        return seen()

    return wait_until(ask, what, bound_s=120)


def read(url: str) -> str:
    try:
        return httpx.get(url, trust_env=False, timeout=20).text
    except httpx.TransportError:
        return ""


def test_flower_shows_a_worker_and_its_tasks(
    start_fleet: StartFleet, server: EmbeddedServer, settings: Settings, tmp_path: Path
) -> None:
    """As the user of an operator, so that the rules of `redis-acl` are enough for it."""
    pytest.importorskip("flower")
    with connect(settings) as admin:
        (operator,) = users(Keys(settings.namespace), ["operator"])
        admin.execute_command("ACL", "SETUSER", "operator", "on", ">secret", *operator.rules)
    start_fleet()
    port = free_port()
    command = [sys.executable, "-m", "celery", "-A", "rerank_fleet", "flower", "--address=127.0.0.1", f"--port={port}"]
    environ = bare_environ() | to_environ(as_user(settings, "operator")) | {"FLOWER_UNAUTHENTICATED_API": "true"}
    with started(command, environ, tmp_path / "flower.log"):

        def tasks() -> Any:
            answer = read(f"http://127.0.0.1:{port}/api/tasks")
            found = json.loads(answer) if answer.startswith("{") else {}
            # Flower may start to listen amid a task; of that one it knows the end, not the name.
            return [each for each in found.values() if each["state"] == "SUCCESS" and each["name"]]

        shown = while_asking(settings, tasks, f"Flower shows a task that succeeded; see {tmp_path}")
        assert (shown[0]["name"], shown[0]["worker"]) == ("rerank.score", WORKER)
        workers = f"http://127.0.0.1:{port}/api/workers?refresh=1"
        wait_until(lambda: WORKER in read(workers), "Flower shows the worker")
    with connect(settings) as admin:
        assert admin.execute_command("ACL", "LOG") == []


@pytest.mark.skipif(not Path(EXPORTER).exists(), reason="no exporter: `make test-celery-exporter` installs it")
def test_a_prometheus_exporter_counts_tasks(
    start_fleet: StartFleet, server: EmbeddedServer, settings: Settings, tmp_path: Path
) -> None:
    start_fleet()
    assert celery(settings, "control", "enable_events", "-t", "30", "-d", WORKER).returncode == 0
    port = free_port()
    command = [EXPORTER, "-c", "from src.cli import cli; cli()", f"--broker-url={server.url}", f"--port={port}"]
    command += [f"--broker-transport-option=global_keyprefix={Keys(settings.namespace).prefix}"]
    command += ["--host=127.0.0.1", "--accept-content=json,msgpack"]
    with started(command, bare_environ(), tmp_path / "exporter.log"):

        def succeeded() -> Any:
            lines = read(f"http://127.0.0.1:{port}/metrics").splitlines()
            counted = [
                line for line in lines if line.startswith("celery_task_succeeded_total{") and "rerank.score" in line
            ]
            return [line for line in counted if float(line.rsplit(" ", 1)[1]) > 0]

        while_asking(settings, succeeded, f"the exporter counts a task that succeeded; see {tmp_path}")


def test_inspect_shows_what_a_worker_holds_and_no_secret(start_fleet: StartFleet, settings: Settings) -> None:
    url = f"{settings.redis_url.get_secret_value()}?socket_timeout=7"
    start_fleet(redis_url=url)
    active, stats = (celery(settings, "inspect", each, "-t", "30", "-d", WORKER) for each in ("active", "stats"))
    assert (active.returncode, stats.returncode) == (0, 0), active.stdout + stats.stdout
    assert WORKER in active.stdout
    assert '"pid"' in stats.stdout
    assert "connection_options" not in stats.stdout


def test_control_shutdown_drains_a_worker(start_fleet: StartFleet, settings: Settings) -> None:
    """What it holds is answered, and it ends as by SIGTERM."""
    fleet = start_fleet()
    with RerankClient(settings) as client:
        handle = client.submit("rooms?", passages(60), deadline_ms=60_000)
        wait_until(lambda: fleet.held_jobs() == 1, "the worker holds the job")
        # No node answers this command: it tells the worker, and does not wait for its end.
        celery(settings, "control", "shutdown", "-t", "1")
        assert fleet.processes[0].wait(timeout=60) == 0
        assert fleet.client.zcard(fleet.keys.leases) == 0
        start_fleet()
        assert client.collect(handle, timeout_ms=60_000).complete


@pytest.mark.parametrize("name", ["rerank_fleet", "rerank_fleet.celery:app", "rerank_worker"])
def test_the_app_is_found_by_its_obvious_names(name: str) -> None:
    command = [sys.executable, "-m", "celery", "-A", name, "report"]
    told = subprocess.run(command, env=bare_environ(), capture_output=True, text=True, timeout=100, check=False)
    assert (told.returncode, "rerank" in told.stdout) == (0, True), told.stderr
