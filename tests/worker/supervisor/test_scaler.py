"""The scaler: what it makes of a signal, and that it waits while Redis is away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from rerank_shared.contract.messages import Heartbeat
from rerank_shared.fleet_state import Backlog, FleetState, PoolState
from rerank_shared.keys import JOB_CLASSES
from rerank_shared.scheduling.autoscaling import Reason, Wanted
from rerank_shared.scheduling.cost import Work
from rerank_shared.settings import load_settings
from rerank_shared.watch.autoscale import AutoscaleSignal
from rerank_worker.supervisor.child import family_name
from rerank_worker.supervisor.scaler import Scaler
from support.waiting import wait_until


@dataclass
class Kept:
    """What a supervisor would be asked for."""

    processes: int
    asked: list[tuple[int, Mapping[str, int]]] = field(default_factory=list)

    def resize(self, processes: int, held: Mapping[str, int]) -> None:
        self.processes = processes
        self.asked.append((processes, held))


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def signal(wanted: int, *workers: str, reason: Reason = "load") -> AutoscaleSignal:
    beats = [Heartbeat(name, "m", "h", 1, None, 0.0, 1.0, 1, held) for held, name in enumerate(workers)]
    backlog = {job_class: Backlog(0, Work(), 0) for job_class in JOB_CLASSES}
    common = PoolState("", tuple(beats), backlog, None)
    return AutoscaleSignal(0.0, "m", FleetState(common.workers, (common,)), 0.0, Wanted(wanted, reason))


@pytest.fixture
def kept() -> Kept:
    return Kept(1)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def scaler(kept: Kept, clock: Clock) -> Scaler:
    return Scaler(load_settings(cooldown_s=60.0, max_processes=8), kept, clock=clock)


def test_it_grows_at_once_and_tells_who_holds_what(scaler: Scaler, kept: Kept) -> None:
    mine = f"{family_name()}0-ab"
    scaler.follow(signal(3, "of-another-1-0-cd", mine))
    # The process of another supervisor is one of the three.
    assert kept.asked == [(2, {mine: 1})]
    scaler.follow(signal(3, "of-another-1-0-cd", mine))
    assert len(kept.asked) == 1


def test_it_shrinks_only_a_cool_down_after_it_grew(scaler: Scaler, kept: Kept, clock: Clock) -> None:
    clock.now = 100.0
    scaler.follow(signal(4))
    clock.now = 159.0
    scaler.follow(signal(1, reason="minimum"))
    assert kept.processes == 4
    clock.now = 160.0
    scaler.follow(signal(1, reason="minimum"))
    assert kept.processes == 1


def test_a_new_supervisor_does_not_shrink_either(scaler: Scaler, kept: Kept) -> None:
    scaler.follow(signal(0))
    assert kept.asked == []


def test_enough_others_leave_it_with_none(scaler: Scaler, kept: Kept, clock: Clock) -> None:
    clock.now = 61.0
    scaler.follow(signal(1, "a-1-0-x", "b-1-0-x"))
    assert kept.asked == [(0, {})]


def test_without_redis_nothing_changes_and_it_says_so_once(
    kept: Kept, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rerank_worker.supervisor.scaler._LOOK_S", 0.01)
    settings = load_settings(redis_url="unix:///nowhere/redis.sock", max_processes=2)
    looks = 0

    class Counted(Scaler):
        def _look(self, client: object) -> None:
            nonlocal looks
            super()._look(client)
            looks += 1

    with Counted(settings, kept).following():
        wait_until(lambda: looks >= 3, "three looks")
    assert kept.asked == []
    assert caplog.text.count("autoscaling waits") == 1
