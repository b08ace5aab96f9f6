"""What the model of Redis counts, against a real server; and what follows from it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis

from rerank_ops.local.redis_server import EmbeddedServer
from rerank_ops.simulate.redis_load import BACKLOG_READ, OPERATIONS, Limits, Operation, Shape, reach, redis_load
from rerank_producer._dispatch.fleet_load import ask_load
from rerank_producer._io.enqueue import Enqueue
from rerank_shared import fleet
from rerank_shared.cache import Lookup, LookupCounter
from rerank_shared.contract.digest import pool_id
from rerank_shared.contract.messages import Heartbeat, Job, ScoringIdentity
from rerank_shared.keys import JOB_CLASSES, Keys
from rerank_shared.queue.backend import Completion, Record
from rerank_shared.queue.backlog import ask_backlog, backlog_member
from rerank_shared.queue.job_queue import ENQUEUE, JobQueue
from rerank_shared.redis import at_any_limit
from rerank_shared.redis.connections import connect
from rerank_shared.settings import load_settings
from support.jobs import make_job

SHAPE, LIMITS = Shape(request_s=0.775, jobs=1.0), Limits()
ROOT = Path(__file__).parents[3]
Count = Callable[[Callable[[], object]], int]


def operation(name: str) -> Operation:
    (found,) = [operation for operation in OPERATIONS if operation.name == name]
    return found


@pytest.fixture
def client() -> Iterator[redis.Redis]:
    """A server of this test's own: others would be counted too."""
    with EmbeddedServer.start() as server, connect(load_settings(redis_url=server.url)) as client:
        yield client


@pytest.fixture
def count(client: redis.Redis) -> Count:
    """Return how many commands the server ran for something, those inside scripts included."""

    def executed() -> int:
        stats = client.info("commandstats")
        return sum(row["calls"] for name, row in stats.items() if name not in ("cmdstat_info", "cmdstat_script|load"))

    def count(act: Callable[[], object]) -> int:
        before = executed()
        act()
        return executed() - before

    return count


@pytest.mark.integration
def test_a_job_on_the_queue_takes_as_many_commands_as_are_counted(client: redis.Redis, count: Count) -> None:
    settings = load_settings(namespace="counted")
    keys = Keys(settings.namespace)
    scripts = JobQueue(keys)
    pool = "0123456789ab"
    queues = [keys.of(each).queue(job_class) for each in (pool, "") for job_class in JOB_CLASSES]
    now = time.time()

    made: list[Job] = []

    def enqueue(jobs: int = 1) -> None:
        new = [make_job(settings, "q", ["d"], due_at=now + 1, tokens=10, pool=pool) for _ in range(jobs)]
        made.extend(new)
        names, args = Enqueue(new, "somebody").call(keys)
        ENQUEUE(client, names, *args)

    def take() -> None:
        taken = scripts.take(client, queues, owner="w", before=None, bulk_share=0.05)
        assert taken is not None

    def take_nothing() -> None:
        taken = scripts.take(client, queues, owner="w", before=None, bulk_share=0.05)
        assert taken is None

    def sweep() -> None:
        scripts.sweep(client, lease_s=60.0, limit=100, max_deaths=3)

    def finish() -> None:
        record = Record(b"outcome", 60, lasting=True, reply_to="caller")
        Completion(keys.of(pool), "job", entry=backlog_member(made[0]), tag="some").run(client, record)
        made.pop(0)

    # Scripts are loaded by their first call.
    for act in (enqueue, take, take_nothing, sweep, finish):
        act()
    once = count(enqueue)
    found = {
        "take": count(take),
        "take, nothing there": count(take_nothing),
        "sweep": count(sweep),
        "finished": count(finish),
        "job enqueued": (count(lambda: enqueue(3)) - once) // 2,
        "enqueue": once - operation("job enqueued").calls,
    }
    # One more in a pipeline of two transactions' ends, and so on, changes nothing that is told: a tenth does.
    for name, commands in found.items():
        expected = operation(name).commands + operation(name).calls
        assert commands == pytest.approx(expected, rel=0.1, abs=1), name


@pytest.mark.integration
def test_heartbeats_and_requests_take_as_many_as_are_counted(client: redis.Redis, count: Count) -> None:
    keys = Keys("counted")
    artefact = ScoringIdentity("m", "0" * 64, "1" * 64, "int8", "t", 512, "longest", "sigmoid")
    heartbeat = Heartbeat("w", "m", "host", 1, None, 0.0, 1.0, 0, 0, pools=(pool_id(artefact),))
    now = time.time()

    def beat() -> None:
        def fill(pipe: Any) -> None:
            fleet.announce(pipe, keys, artefact, now)
            fleet.beat(pipe, keys, heartbeat, now)

        at_any_limit.write(client, keys, fill)

    def renew() -> None:
        JobQueue(keys).renew(client, ["tag"])

    def look() -> None:
        pipe, counter = client.pipeline(transaction=False), LookupCounter(keys, hits=1)
        Lookup(counter, [b"digest"]).add_to(pipe, lambda pipe: ask_load(pipe, keys, now))
        pipe.execute()

    def read() -> None:
        pipe = client.pipeline(transaction=False)
        ask_backlog(pipe, keys, now)
        pipe.execute()

    client.zadd(keys.leases, {"tag": now})
    assert count(read) == BACKLOG_READ.commands + BACKLOG_READ.calls
    assert count(beat) == operation("heartbeat").commands + operation("heartbeat").calls
    assert count(look) == operation("look").commands + operation("look").calls
    # Beside the renewal a busy process asks whether its callers still listen.
    assert count(renew) == operation("leases renewed").commands + operation("leases renewed").calls - 1


def test_sources_are_files() -> None:
    for each in OPERATIONS:
        assert (ROOT / each.source).is_file(), each.source


def test_what_grows_with_the_fleet_grows_with_it() -> None:
    small, large = (redis_load(processes, SHAPE, LIMITS) for processes in (100, 10_000))
    assert large.requests_per_s == pytest.approx(100 * small.requests_per_s)
    for group in ("heartbeats", "polling", "sweeps", "requests", "jobs"):
        assert large.commands_per_s[group] == pytest.approx(100 * small.commands_per_s[group])
    # Who reads the backlog reads its sums, however many jobs there are; a broadcast reaches a hundred times as many
    # workers.
    assert large.backlog_bytes_per_s < 10 * small.backlog_bytes_per_s
    assert large.deliveries_per_s > 100 * small.deliveries_per_s
    assert large.first == ("connections", large.used["connections"])


def test_limits_say_how_far_a_server_reaches() -> None:
    reached = reach(SHAPE, LIMITS)
    for name, processes in reached.items():
        assert (
            redis_load(processes, SHAPE, LIMITS).used[name] <= 1 < redis_load(processes + 1, SHAPE, LIMITS).used[name]
        )
    more = reach(SHAPE, replace(LIMITS, connections=100_000))
    assert more["connections"] > 9 * reached["connections"]
    assert more["commands"] == reached["commands"]


def test_requests_are_split_as_clients_split_them() -> None:
    jobs = [redis_load(processes, replace(SHAPE, jobs=None), LIMITS).jobs_a_request for processes in (1, 20, 1_000)]
    assert jobs == [1, 6, 12]


def test_a_busier_fleet_polls_less_in_vain() -> None:
    idle, busy = (redis_load(1_000, replace(SHAPE, load=load), LIMITS).commands_per_s for load in (0.1, 0.9))
    assert idle["polling"] > busy["polling"]
    assert idle["jobs"] < busy["jobs"]
