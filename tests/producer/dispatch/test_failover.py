"""Fail-over: every step that a caller waits for is tried again while another server takes over, and no longer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rerank_producer import QueueUnavailable, RerankClient, RerankHandle
from rerank_producer.testing import InMemoryFleet
from rerank_shared.settings import load_settings

PATIENCE_S = 5.0
Step = Callable[[RerankClient, RerankHandle], Any]
STEPS: dict[str, Step] = {
    "rerank": lambda client, _: client.rerank("q", ["new"], deadline_ms=60_000),
    "submit": lambda client, _: client.submit("q", ["new"], deadline_ms=60_000),
    "submit, all cached": lambda client, _: client.submit("q", ["known"], deadline_ms=60_000),
    "collect": lambda client, handle: client.collect(handle),
    "status": lambda client, handle: client.status(handle),
    "model_info": lambda client, _: client.model_info(),
}


def opened(patience_s: float | None = PATIENCE_S) -> tuple[InMemoryFleet, RerankClient, RerankHandle]:
    fleet = InMemoryFleet(settings=load_settings(failover_s=patience_s))
    client = fleet.client()
    client.rerank("q", ["known"])
    handle = client.submit("q", ["submitted"])
    # What the client remembers of the model has run out.
    fleet.advance(60.0)
    return fleet, client, handle


@pytest.mark.parametrize("step", STEPS)
def test_a_step_waits_for_the_server_that_takes_over(step: str) -> None:
    fleet, client, handle = opened()
    with client:
        fleet.go_away()
        fleet.after(PATIENCE_S - 1.0, fleet.come_back)
        assert STEPS[step](client, handle)


@pytest.mark.parametrize("step", STEPS)
def test_patience_ends(step: str) -> None:
    fleet, client, handle = opened()
    with client:
        fleet.go_away()
        began = fleet.now
        with pytest.raises(QueueUnavailable):
            STEPS[step](client, handle)
        assert PATIENCE_S - 0.2 <= fleet.now - began <= PATIENCE_S


@pytest.mark.parametrize("step", STEPS)
def test_what_time_can_t_cure_is_told_at_once(step: str) -> None:
    fleet, client, handle = opened()
    with client:
        fleet.go_away("credentials")
        began = fleet.now
        with pytest.raises(QueueUnavailable):
            STEPS[step](client, handle)
        assert fleet.now == began


@pytest.mark.parametrize("step", STEPS)
def test_one_server_alone_is_not_waited_for(step: str) -> None:
    """Without Sentinels nothing says that another server will take its place."""
    fleet, client, handle = opened(None)
    with client:
        fleet.go_away()
        began = fleet.now
        with pytest.raises(QueueUnavailable):
            STEPS[step](client, handle)
        assert fleet.now == began


def test_a_caller_s_time_counts() -> None:
    fleet, client, handle = opened()
    with client:
        fleet.go_away()
        began = fleet.now
        with pytest.raises(QueueUnavailable):
            client.collect(handle, timeout_ms=1_000)
        assert fleet.now - began <= 1.0
        with pytest.raises(QueueUnavailable):
            client.rerank("q", ["new"], deadline_ms=1_000)
        assert fleet.now - began <= 2.0


def test_waiting_for_the_server_is_part_of_the_time_to_collect() -> None:
    fleet, client, _ = opened()
    fleet.workers = 0
    with client:
        handle = client.submit("q", ["never answered"], deadline_ms=60_000)
        fleet.go_away()
        fleet.after(2.0, fleet.come_back)
        began = fleet.now
        assert not client.collect(handle, timeout_ms=3_000, partial=True).complete
        assert fleet.now - began == pytest.approx(3.0, abs=0.1)
