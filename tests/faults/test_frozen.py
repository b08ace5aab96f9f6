"""A worker that is stopped in the middle of a batch, and goes on: the speed that it tells is that of running."""

from __future__ import annotations

import signal
import time

import pytest

from conftest import StartFleet
from rerank_producer import RerankClient
from support.fleet import TestFleet
from support.jobs import passages
from support.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.faults]
#: Longer than all that the worker has run by then takes on a slow machine.
FROZEN_S = 8.0


def told_rate(fleet: TestFleet) -> float:
    """The fleet's rate by a heartbeat of after the call."""
    fleet.client.delete(fleet.keys.worker("test-0"))
    wait_until(lambda: fleet.state().workers, "a heartbeat")
    return fleet.state().tokens_per_s


def test_the_measured_rate_is_that_of_running(start_fleet: StartFleet) -> None:
    fleet = start_fleet(cache=False, redelivery_s=60.0)
    worker = fleet.processes[0]
    with RerankClient(fleet.settings) as client:
        client.rerank("which rooms?", passages(20), deadline_ms=60_000, partial=False)
        before = told_rate(fleet)
        handle = client.submit("which rooms?", passages(60), deadline_ms=90_000)
        wait_until(fleet.held_jobs, "work in its hands")
        worker.send_signal(signal.SIGSTOP)
        # Nothing tells that it is frozen but the time that passes.
        time.sleep(FROZEN_S)
        worker.send_signal(signal.SIGCONT)
        assert client.collect(handle).complete
        after = told_rate(fleet)
    # The machine may be twice as busy; the freeze alone would make it less than a third.
    assert after > before / 3
