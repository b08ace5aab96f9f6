"""Tasks of users' own in the fleet's Celery app: they work as Celery's docs say, or are refused with the way out."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery
from celery.exceptions import NotRegistered

from rerank_shared.keys import Keys
from rerank_shared.queue.celery_app import make_celery
from rerank_shared.redis.connections import connect
from rerank_shared.settings import Settings, load_settings, to_environ
from support.fleet import TestFleet
from support.waiting import wait_until

pytestmark = pytest.mark.integration
TESTS = Path(__file__).parents[1]
LEASE_S = 0.5


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return load_settings(**(settings.model_dump(exclude_none=True) | {"redelivery_s": LEASE_S}))


@pytest.fixture
def app(settings: Settings) -> Iterator[Celery]:
    """An app as a user has it to send with, while a worker of theirs runs."""
    environ = os.environ | to_environ(settings) | {"PYTHONPATH": str(TESTS)}
    command = ["-m", "celery", "--app", "support.queue.plain_app", "worker", "--pool", "threads", "--concurrency", "4"]
    worker = subprocess.Popen(
        [sys.executable, *command], env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    with make_celery(settings) as sender:
        try:
            yield sender
        finally:
            worker.terminate()
            worker.wait(timeout=30)


def test_results_and_errors_come_back(app: Celery, settings: Settings) -> None:
    results = [app.send_task("support.queue.plain_app.add", (number, 1)) for number in range(5)]
    assert [result.get(timeout=60) for result in results] == [1, 2, 3, 4, 5]
    with pytest.raises(ValueError, match="on purpose"):
        app.send_task("support.queue.plain_app.fail").get(timeout=60)


def test_what_outlasts_the_fleet_s_leases_runs_once(app: Celery, settings: Settings) -> None:
    long = app.send_task("support.queue.plain_app.long", (4 * LEASE_S,))
    later = app.send_task("support.queue.plain_app.long", (0,), countdown=4 * LEASE_S)
    for result in (long, later):
        result.get(timeout=60)
    with connect(settings) as client:
        runs = [client.get(f"{settings.namespace}-runs-{result.id}") for result in (long, later)]
        assert runs == [b"1", b"1"]
        unacked = f"{Keys(settings.namespace).prefix}unacked"
        wait_until(lambda: client.hlen(unacked) == 0, "both acknowledgements")


def test_a_worker_of_the_fleet_tells_where_a_task_belongs(fleet: TestFleet, settings: Settings) -> None:
    with make_celery(settings) as sender:
        result = sender.send_task("mine.add", (1, 2), queue=fleet.keys.queue("interactive"))
        with pytest.raises(NotRegistered, match=r"'mine.add'.*Send your own tasks to another"):
            result.get(timeout=60)


def test_celery_s_tools_are_answered(fleet: TestFleet, settings: Settings) -> None:
    with make_celery(settings) as tools:
        (told,) = (tools.control.inspect(timeout=30, limit=1).stats() or {}).values()
    assert told["broker"]["transport_options"]["global_keyprefix"] == fleet.keys.prefix


@pytest.fixture
def fleet(start_fleet: object, settings: Settings) -> TestFleet:
    assert callable(start_fleet)
    started: TestFleet = start_fleet(1)
    return started
