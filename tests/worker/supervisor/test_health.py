"""/healthz and /readyz of a supervisor, over a real one with small child processes and a real server."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rerank_dev.ports import free_port
from rerank_ops.health import main
from rerank_shared.contract.messages import Heartbeat
from rerank_shared.fleet import beat
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import connect
from rerank_shared.settings import Settings, load_settings
from rerank_worker.supervisor.supervisor import Supervisor
from support.supervised import Children, poll_until


def ask(settings: Settings, path: str) -> tuple[int, str | None]:
    """Return the status, and the reason that the body gives."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{settings.metrics_port}{path}") as answer:
            return answer.status, json.loads(answer.read()).get("reason")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())["reason"]


@contextmanager
def turning(supervisor: Supervisor) -> Iterator[None]:
    """Poll the supervisor, as `run()` does, while the block asks it from outside."""
    done = threading.Event()

    def turn() -> None:
        while not done.is_set():
            supervisor.poll(0.05)

    thread = threading.Thread(target=turn)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@pytest.fixture
def watched(settings: Settings, tmp_path: Path) -> Iterator[Callable[[Settings], Supervisor]]:
    """Start a supervisor of two children, both up."""
    started: list[Supervisor] = []

    def start(chosen: Settings) -> Supervisor:
        children = Children(tmp_path)
        supervisor = Supervisor(chosen, 2, command=children.command())
        started.append(supervisor)
        supervisor.start()
        poll_until(supervisor, lambda: len(children.started()) == 2, "two children")
        return supervisor

    yield start
    for supervisor in started:
        supervisor.stop()


@pytest.fixture
def observed(settings: Settings) -> Settings:
    return settings.model_copy(update={"metrics_port": free_port()})


def announce_warm(settings: Settings, *names: str) -> None:
    with connect(settings) as client:
        pipe = client.pipeline()
        for name in names:
            beat(pipe, Keys(settings.namespace), Heartbeat(name, "m", "h", 1, None, 0.0, 1.0, 0, 0), time.time())
        pipe.execute()


def test_it_is_ready_once_each_process_has_a_heartbeat_and_until_it_drains(
    observed: Settings, watched: Callable[[Settings], Supervisor]
) -> None:
    supervisor = watched(observed)
    first, second = supervisor.names()
    with turning(supervisor):
        assert ask(observed, "/readyz") == (503, "2 of 2 processes are not warm")
        announce_warm(observed, first, "of-another-host")
        assert ask(observed, "/readyz") == (503, "1 of 2 processes are not warm")
        announce_warm(observed, second)
        assert ask(observed, "/readyz") == (200, None)
    supervisor.drain()
    supervisor.poll()
    assert ask(observed, "/readyz") == (503, "draining")


def test_it_lives_while_redis_is_away_and_is_not_ready(watched: Callable[[Settings], Supervisor]) -> None:
    """Else the platform would kill, in every outage, the workers whose jobs wait for the server's return."""
    alone = load_settings(redis_url=f"redis://127.0.0.1:{free_port()}/0", metrics_port=free_port())
    with turning(watched(alone)):
        assert ask(alone, "/healthz") == (200, None)
        assert ask(alone, "/readyz") == (503, "Redis can't be reached, or refuses")


def test_a_supervisor_whose_loop_is_stuck_is_not_alive(
    observed: Settings, watched: Callable[[Settings], Supervisor]
) -> None:
    watched(observed)  # and nobody polls it
    status, reason = ask(observed, "/healthz")
    assert status == 503
    assert reason is not None
    assert "has not answered" in reason


def test_the_command_of_the_images_tells_health_by_its_exit_status(
    observed: Settings, watched: Callable[[Settings], Supervisor], capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"http://127.0.0.1:{observed.metrics_port}"
    with turning(watched(observed)):
        assert main([f"{url}/healthz"]) == 0
        assert main([f"{url}/readyz"]) == 1
        assert "2 of 2 processes are not warm" in capsys.readouterr().out
    assert main([f"http://127.0.0.1:{free_port()}/healthz"]) == 1
    assert "no answer" in capsys.readouterr().out
    assert main([]) == 2
