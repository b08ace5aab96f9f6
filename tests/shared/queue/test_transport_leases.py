"""Leases by the server's clock: who lives keeps its jobs, who dies loses them, and a job that kills is set aside."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from rerank_shared.contract.messages import DeadLetter
from rerank_shared.keys import DEAD_MAX, DEAD_TTL_S
from rerank_shared.queue.dead_letters import list_dead
from rerank_shared.queue.job_queue import JobQueue
from rerank_shared.queue.lifetimes import end, keep
from rerank_shared.settings import Settings
from support.queue.queueing import Queueing, Receiver, queueing

pytestmark = pytest.mark.integration


@pytest.fixture
def queue(settings: Settings) -> Iterator[Queueing]:
    with queueing(settings) as opened:
        yield opened


def sweep(receiver: Receiver) -> None:
    receiver.channel.qos.restore_visible()


def die_of(queue: Queueing, times: int, **options: Any) -> None:
    """Let a worker take the job that waits and die of it, so many times."""
    for number in range(times):
        victim = queue.receiver(owner=f"victim-{number}")
        assert len(victim.take()) == 1
        assert JobQueue(queue.keys).expire(queue.client, f"victim-{number}") == 1
        sweep(queue.receiver(**options))


def test_a_lease_that_is_renewed_is_kept_and_any_other_runs_out(queue: Queueing) -> None:
    queue.send("kept", due_at=1.0)
    queue.send("lost", due_at=2.0)
    receiver = queue.receiver(lease_s=100.0)
    receiver.take(2)
    kept, lost = (message.delivery_tag for message in receiver.messages)
    for tag in (kept, lost):
        queue.client.zadd(queue.keys.leases, {tag: queue.client.time()[0] - 200})
    assert JobQueue(queue.keys).renew(queue.client, [kept]) == 0
    sweep(receiver)
    assert receiver.take(9) == ["lost"]
    assert receiver.messages[-1].delivery_info["redelivered"]


def test_the_lease_of_a_job_that_is_done_never_comes_back(queue: Queueing) -> None:
    queue.send("job")
    receiver = queue.receiver()
    receiver.take()
    receiver.messages[0].ack()
    assert JobQueue(queue.keys).renew(queue.client, [receiver.messages[0].delivery_tag, "unknown"]) == 2
    assert queue.lasting() == set()


def test_a_dead_worker_s_jobs_come_back_at_once_and_no_other_s(queue: Queueing) -> None:
    for name in ("one", "two", "three"):
        queue.send(name, due_at=float(len(name)))
    dead, alive = queue.receiver(owner="dead"), queue.receiver(owner="alive")
    dead.take(2)
    alive.take(1)
    assert JobQueue(queue.keys).expire(queue.client, "dead") == 2
    sweep(alive)
    assert sorted(alive.take(9)) == sorted(dead.names)


def test_a_job_that_kills_is_set_aside_and_its_record_tells_all(queue: Queueing) -> None:
    told: list[DeadLetter] = []
    queue.client.set(queue.keys.text("killer"), b"text", ex=30)
    queue.send("killer", "bulk", tenant="t")
    die_of(queue, 3, max_deaths=3, on_dead_letter=told.append)
    (letter,) = told
    assert (letter.job_id, letter.queue, letter.deaths, letter.owner) == ("killer", "jobs.bulk", 3, "victim-2")
    assert abs(letter.died_at - queue.client.time()[0]) < 60
    assert list_dead(queue.client, queue.keys) == told
    assert queue.receiver().take() == []
    # Nothing that a full server may evict, and a sweep ends it.
    kept = {queue.keys.dead, queue.keys.dead_index, queue.keys.text("killer")}
    assert queue.lasting() == kept
    queue.client.zadd(queue.keys.dead_index, {"killer": queue.client.time()[0] - DEAD_TTL_S - 1})
    sweep(queue.receiver())
    assert queue.lasting() == set()


def test_a_sweep_ends_what_is_over_and_nothing_else(queue: Queueing) -> None:
    now, pipe = queue.client.time()[0], queue.client.pipeline()
    keep(pipe, queue.keys, queue.keys.text("over"), b"text", now - 1)
    keep(pipe, queue.keys, queue.keys.text("kept"), b"text", now + 60)
    pipe.execute()
    sweep(queue.receiver())
    assert queue.lasting() == {queue.keys.text("kept"), queue.keys.lifetimes}
    end(queue.client, queue.keys, queue.keys.text("kept"))
    assert queue.lasting() == set()


def test_a_sweep_keeps_up_with_many_short_jobs(queue: Queueing) -> None:
    now, pipe = queue.client.time()[0], queue.client.pipeline()
    for number in range(500):
        keep(pipe, queue.keys, queue.keys.result(str(number)), b"outcome", now - 1)
    pipe.execute()
    sweep(queue.receiver())
    assert queue.lasting() == set()


def test_deaths_are_forgotten_once_a_job_is_done(queue: Queueing) -> None:
    queue.send("unlucky")
    die_of(queue, 2, max_deaths=3)
    assert queue.client.get(queue.keys.deaths("unlucky")) == b"2"
    receiver = queue.receiver()
    receiver.take()
    receiver.messages[0].ack()
    assert queue.client.get(queue.keys.deaths("unlucky")) is None


def test_a_hook_that_fails_does_not_stop_the_sweep(queue: Queueing, caplog: pytest.LogCaptureFixture) -> None:
    def fail(letter: DeadLetter) -> None:
        raise ValueError(letter.job_id)

    for name in ("one", "two"):
        queue.send(name)
    queue.receiver(owner="victim").take(2)
    assert JobQueue(queue.keys).expire(queue.client, "victim") == 2
    sweep(queue.receiver(max_deaths=1, on_dead_letter=fail))
    assert len(list_dead(queue.client, queue.keys)) == 2
    assert caplog.text.count("dead letter not reported") == 2


def test_records_are_bounded_and_the_oldest_go_with_their_text(queue: Queueing) -> None:
    for number in range(DEAD_MAX):
        queue.client.hset(queue.keys.dead, f"old-{number}", b"record")
    queue.client.zadd(queue.keys.dead_index, {f"old-{number}": 2e9 + number for number in range(DEAD_MAX)})
    queue.client.set(queue.keys.text("old-0"), b"text")
    queue.client.zadd(queue.keys.dead_index, {"old-7": 1.0})
    queue.send("new")
    die_of(queue, 1, max_deaths=1)
    assert queue.client.hexists(queue.keys.dead, "new")
    assert not queue.client.hexists(queue.keys.dead, "old-7")
    assert queue.client.zcard(queue.keys.dead_index) == queue.client.hlen(queue.keys.dead) == DEAD_MAX
    queue.send("newer")
    queue.client.zadd(queue.keys.dead_index, {"new": 3e9})
    die_of(queue, 1, max_deaths=1)
    assert not queue.client.hexists(queue.keys.dead, "newer")


def test_a_lease_without_a_job_is_cleared(queue: Queueing) -> None:
    queue.client.zadd(queue.keys.leases, {"nobody's": 0})
    sweep(queue.receiver())
    assert queue.lasting() == set()
