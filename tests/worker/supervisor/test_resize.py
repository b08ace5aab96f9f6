"""A supervisor that changes its number of processes while it runs."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from rerank_shared.settings import Settings, load_settings
from rerank_worker.supervisor.supervisor import EX_OK, Supervisor
from support.supervised import QUICK, Children, poll_until, roll_all


@pytest.fixture
def children(tmp_path: Path) -> Children:
    return Children(tmp_path)


@pytest.fixture
def settings() -> Settings:
    return load_settings(grace_s=20.0)


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    before = set(psutil.Process().children())
    yield
    assert set(psutil.Process().children()) <= before


def names(children: Children) -> dict[int, str]:
    return {pid: environ["FLEET_WORKER_NAME"] for pid, environ in children.started().items()}


def test_it_grows_up_to_its_most_and_shrinks_by_draining(settings: Settings, children: Children) -> None:
    with Supervisor(settings, 1, command=children.command(), most=3) as supervisor:
        poll_until(supervisor, lambda: len(children.started()) == 1, "one child")
        supervisor.resize(9, {})
        poll_until(supervisor, lambda: len(children.started()) == 3, "three children")
        assert supervisor.processes == 3
        supervisor.resize(1, {})
        poll_until(supervisor, lambda: len(children.noted("drained")) == 2, "two have drained")
        poll_until(supervisor, lambda: len(supervisor.pids()) == 1, "one child")
        assert (supervisor.processes, supervisor.restarts) == (1, 0)
    assert supervisor.stop() == EX_OK


def test_those_that_hold_least_go_first(settings: Settings, children: Children) -> None:
    with Supervisor(settings, 3, command=children.command()) as supervisor:
        poll_until(supervisor, lambda: len(children.started()) == 3, "three children")
        busiest, idle, middling = sorted(names(children).items())
        supervisor.resize(1, {busiest[1]: 900, middling[1]: 1})
        poll_until(supervisor, lambda: len(children.noted("drained")) == 2, "two have drained")
        assert children.noted("drained") == {idle[0], middling[0]}


def test_a_place_that_died_is_given_up_before_a_process_that_lives(settings: Settings, children: Children) -> None:
    with Supervisor(settings, 2, command=children.command()) as supervisor:
        poll_until(supervisor, lambda: len(children.started()) == 2, "two children")
        victim, survivor = supervisor.pids()
        os.kill(victim, signal.SIGKILL)
        poll_until(supervisor, lambda: supervisor.restarts, "a death")
        supervisor.resize(1, {names(children)[survivor]: 5})
        for _ in range(3):
            supervisor.poll(0.02)
        assert supervisor.pids() == [survivor]
        assert children.noted("drained") == set()


def test_none_may_be_wanted_and_one_again(settings: Settings, children: Children) -> None:
    with Supervisor(settings, 1, command=children.command(), policy=QUICK) as supervisor:
        poll_until(supervisor, lambda: len(children.started()) == 1, "one child")
        supervisor.resize(0, {})
        poll_until(supervisor, lambda: not supervisor.pids(), "no child")
        assert supervisor.poll(0.01) is None
        supervisor.roll()
        assert supervisor.poll(0.01) is None
        supervisor.resize(1, {})
        poll_until(supervisor, lambda: len(children.started()) == 2, "a child again")


def test_one_that_still_drains_is_replaced_when_it_is_wanted_again(children: Children) -> None:
    settings = load_settings(grace_s=0.5)
    with Supervisor(settings, 1, command=children.command("stubborn-first"), policy=QUICK) as supervisor:
        poll_until(supervisor, lambda: len(children.started()) == 1, "one child")
        supervisor.resize(0, {})
        poll_until(supervisor, children.told, "it is told")
        supervisor.resize(1, {})
        poll_until(supervisor, lambda: len(children.started()) == 2, "a replacement")


def test_a_rolling_restart_leaves_empty_places_empty(settings: Settings, children: Children) -> None:
    with Supervisor(settings, 2, command=children.command(), most=4, settle_s=0.05) as supervisor:
        poll_until(supervisor, lambda: len(children.started()) == 2, "two children")
        before, fewest = roll_all(supervisor, children)
        assert fewest >= 1
        assert len(supervisor.pids()) == 2
        assert not before & set(supervisor.pids())


def test_a_fleet_that_drains_does_not_grow(settings: Settings, children: Children) -> None:
    supervisor = Supervisor(settings, 1, command=children.command(), most=2)
    supervisor.start()
    poll_until(supervisor, lambda: len(children.started()) == 1, "one child")
    supervisor.drain()
    supervisor.resize(2, {})
    assert supervisor.stop() == EX_OK
    assert len(children.started()) == 1
