"""Activity in slots, in a real server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from rerank_shared.keys import ACTIVITY_TTL_S, Keys
from rerank_shared.redis.connections import connect
from rerank_shared.scheduling.autoscaling import Activity
from rerank_shared.settings import Settings
from rerank_shared.watch.activity import add_activity, ask_activity, read_activity

pytestmark = pytest.mark.integration
NOW = 1_000_005.0


@pytest.fixture
def client(settings: Settings) -> Iterator[Any]:
    with connect(settings) as client:
        yield client


def told(client: Any, keys: Keys, *beats: tuple[float, float, dict[Any, float]]) -> None:
    pipe = client.pipeline(transaction=False)
    for at, alive_s, busy_s in beats:
        add_activity(pipe, keys, at, alive_s, busy_s)
    pipe.execute()


def read(client: Any, keys: Keys, now: float, window_s: float) -> tuple[Activity, ...]:
    pipe = client.pipeline(transaction=False)
    ask_activity(pipe, keys, now, window_s)
    return read_activity(pipe.execute(), now)


def test_what_processes_tell_is_summed_by_slot_newest_first(client: Any, settings: Settings) -> None:
    keys = Keys(settings.namespace)
    told(client, keys, (NOW, 1.0, {"interactive": 0.5, "bulk": 0.0}), (NOW, 1.0, {"interactive": 0.25, "bulk": 0.5}))
    told(client, keys, (NOW - 10, 1.0, {"bulk": 1.0}))
    newest, before, oldest = read(client, keys, NOW, 20.0)
    assert newest == Activity(5.0, 2.0, {"interactive": 0.75, "bulk": 0.5})
    assert newest.alive == pytest.approx(0.4)
    assert newest.busy("interactive", "bulk") == pytest.approx(0.25)
    assert before == Activity(10.0, 1.0, {"interactive": 0.0, "bulk": 1.0})
    assert oldest == Activity(10.0, 0.0, {"interactive": 0.0, "bulk": 0.0})


def test_a_process_that_was_cut_off_does_not_count_for_all_that_time(client: Any, settings: Settings) -> None:
    keys = Keys(settings.namespace)
    told(client, keys, (NOW, 100.0, {"interactive": 50.0}))
    (newest, *_) = read(client, keys, NOW, 10.0)
    assert newest.alive_s == pytest.approx(2.0)
    assert newest.busy_s["interactive"] == pytest.approx(1.0)


def test_nobody_is_busy_for_longer_than_alive(client: Any, settings: Settings) -> None:
    """A run is told when it ends, and may have begun long before the last heartbeat."""
    keys = Keys(settings.namespace)
    told(client, keys, (NOW, 1.0, {"interactive": 7.0}))
    assert read(client, keys, NOW, 0.0)[0].busy_s["interactive"] == 1.0


def test_the_first_heartbeat_and_the_first_instant_of_a_slot(client: Any, settings: Settings) -> None:
    keys = Keys(settings.namespace)
    told(client, keys, (NOW, 0.0, {"interactive": 0.0, "bulk": 0.0}))
    assert read(client, keys, NOW, 0.0)[0].alive_s == 0.0
    assert read(client, keys, 1_000_010.0, 0.0)[0].alive == 0.0


def test_a_record_runs_out(client: Any, settings: Settings) -> None:
    keys = Keys(settings.namespace)
    told(client, keys, (NOW, 1.0, {}))
    (name,) = client.keys(keys.prefix + "*")
    assert 0 < client.ttl(name) <= ACTIVITY_TTL_S
