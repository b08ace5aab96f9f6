"""What a client remembers of the fleet, on a real server and with a clock that stands still."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
import redis

from rerank_producer._dispatch.fleet_load import FleetLoad, FleetLoadCache
from rerank_producer._io.blocking import BlockingPort
from rerank_producer._io.clock import Clock
from rerank_producer._io.enqueue import Enqueue
from rerank_producer._io.port import drive
from rerank_shared.contract.messages import Job
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import connect
from rerank_shared.scheduling.admission import LOAD_REMEMBERED_S
from rerank_shared.settings import Settings

pytestmark = pytest.mark.integration
JOB = Job("job", "interactive", "model", "q", ("d",), None, 0.0, 0.0, tokens=100, pairs=1)


def jobs_in(load: FleetLoad) -> int:
    return sum(each.jobs for each in load.due)


@dataclass
class Lookout:
    """A client's load_cache of the fleet, and the fleet as it really is."""

    load_cache: FleetLoadCache
    port: BlockingPort
    client: redis.Redis
    now: list[float]

    def look(self) -> FleetLoad:
        return drive(self.load_cache.get(self.port, "model"))

    def enqueue(self, number: int) -> None:
        job = replace(JOB, job_id=f"job-{number}", deadline_at=time.time() + 60)
        drive(self.port.enqueue(Enqueue([job], None)))


@pytest.fixture
def lookout(settings: Settings) -> Iterator[Lookout]:
    now = [0.0]
    keys = Keys(settings.namespace)
    with connect(settings) as client:
        port = BlockingPort(settings)
        yield Lookout(FleetLoadCache(keys, Clock(lambda: now[0])), port, client, now)
        port.close()


def test_what_waits_is_remembered_for_a_moment(lookout: Lookout) -> None:
    for number in range(3):
        lookout.enqueue(number)
    assert jobs_in(lookout.look()) == 3
    lookout.enqueue(3)
    seen = lookout.look()
    assert (seen.unanswered, jobs_in(seen)) == (4, 3)
    lookout.now[0] += LOAD_REMEMBERED_S
    assert jobs_in(lookout.look()) == 4


def test_an_idle_fleet_that_became_busy_is_looked_at_again(lookout: Lookout) -> None:
    assert lookout.look().due == ()
    lookout.enqueue(0)
    assert jobs_in(lookout.look()) == 1
    for number in range(1, 4):
        lookout.enqueue(number)
    assert jobs_in(lookout.look()) == 4
