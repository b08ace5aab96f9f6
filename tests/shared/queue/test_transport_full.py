"""The queue on a server that has reached its memory limit: nothing more goes in, and everything comes out."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from celery.app.task import Context
from kombu.exceptions import OperationalError

from rerank_ops.local.redis_server import EmbeddedServer
from rerank_shared.cache import Lookup, LookupCounter, ScoreWrites
from rerank_shared.contract.messages import DeadLetter, Score
from rerank_shared.queue.backend import Completion
from rerank_shared.queue.celery_app import make_celery
from rerank_shared.queue.dead_letters import drop, list_dead, retry
from rerank_shared.queue.job_queue import JobQueue
from rerank_shared.redis import at_any_limit
from rerank_shared.settings import Settings
from support.queue.dying import set_aside
from support.queue.full_server import BINARIES, fill_up, small_server
from support.queue.queueing import Queueing, queueing, send_plain

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module", params=BINARIES)
def server(request: pytest.FixtureRequest) -> Iterator[EmbeddedServer]:
    with small_server(request.param) as running:
        yield running


@pytest.fixture
def queue(settings: Settings) -> Iterator[Queueing]:
    with queueing(settings) as opened:
        yield opened
        opened.client.execute_command("FLUSHALL", "SYNC")


def fill(queue: Queueing) -> None:
    fill_up(queue.client, queue.keys)


def test_what_is_sent_is_refused_and_leaves_nothing(queue: Queueing) -> None:
    fill(queue)
    with pytest.raises(OperationalError, match="maxmemory"):
        queue.send("job")
    assert not queue.client.exists(queue.keys.waiting("interactive"), queue.keys.queue_list("interactive"))


def test_jobs_are_taken_given_back_and_acknowledged_by_consumers_that_come_then(queue: Queueing) -> None:
    for number in range(5):
        queue.send(f"job-{number}", "bulk" if number % 2 else "interactive", due_at=float(number))
    fill(queue)
    first, second = queue.receiver(), queue.receiver()
    assert len(first.receive(5)) == 5
    assert second.take(9) == []
    for message in first.messages[:2]:
        message.ack()
    first.messages[2].reject(requeue=True)
    first.connection.release()
    assert len(second.receive(3)) == 3
    for message in second.messages:
        message.ack()
    assert queue.lasting() == set()


def test_a_full_consumer_hands_its_bell_on(queue: Queueing) -> None:
    busy, idle = queue.receiver(), queue.receiver()
    queue.send("first")
    busy.take(1)
    busy.listen()
    busy.consumer.qos(prefetch_count=1)
    queue.send("second")
    fill(queue)
    busy.listen()
    assert idle.receive() == ["second"]


def test_a_plain_sender_s_message_is_not_lost(queue: Queueing) -> None:
    send_plain(queue, "plain")
    fill(queue)
    assert queue.receiver().receive() == ["plain"]


def test_leases_are_kept_ended_and_swept(queue: Queueing) -> None:
    told: list[DeadLetter] = []
    queue.send("killer")
    queue.send("other", due_at=2e9)
    victim = queue.receiver(owner="victim")
    victim.take(2)
    fill(queue)
    assert JobQueue(queue.keys).renew(queue.client, [victim.messages[1].delivery_tag]) == 0
    assert JobQueue(queue.keys).expire(queue.client, "victim") == 2
    sweeper = queue.receiver(max_deaths=2, on_dead_letter=told.append)
    sweeper.channel.qos.restore_visible()
    assert sorted(sweeper.take(9)) == ["killer", "other"]
    assert JobQueue(queue.keys).expire(queue.client, sweeper.channel.owner) == 2
    sweeper.channel.qos.restore_visible()
    assert len(told) == len(list_dead(queue.client, queue.keys)) == 2


def test_an_outcome_is_kept_told_and_acknowledged_and_only_scores_are_left_out(queue: Queueing) -> None:
    queue.send("job")
    receiver = queue.receiver()
    receiver.take()
    tag, digest = receiver.messages[0].delivery_tag, b"d" * 16
    writes = ScoreWrites({digest: Score(1.0, 3, False)}, 60)
    with queue.client.pubsub() as line, make_celery(queue.settings) as app:
        line.subscribe(caller := queue.keys.reply("caller"))
        line.get_message(timeout=20)
        fill(queue)
        completion = Completion(queue.keys, "job", writes=writes, tag=tag)
        request = Context(id="job", reply_to=caller, completion=completion)
        app.backend.mark_as_done("job", {"a": 1}, request=request)
        told = line.get_message(timeout=20)
        assert told is not None
        assert told["data"] == queue.client.get(queue.keys.result("job"))
        assert app.AsyncResult("job").get(timeout=20) == {"a": 1}
        app.backend.client.close()
    assert not queue.client.exists(queue.keys.score(digest))
    assert not queue.client.exists(queue.keys.unacked, queue.keys.leases, queue.keys.lease_owners)
    assert queue.client.ttl(queue.keys.result("job")) == -1
    assert queue.client.zscore(queue.keys.lifetimes, queue.keys.result("job")) is not None


def test_what_is_cached_is_found_though_nobody_can_count_it(queue: Queueing) -> None:
    score, counter = Score(1.0, 3, False), LookupCounter(queue.keys)
    pipe = queue.client.pipeline(transaction=False)
    ScoreWrites({b"d" * 16: score}, 60).add_to(pipe, queue.keys)
    pipe.execute()
    fill(queue)
    for _ in range(2):
        ask, pipe = Lookup(counter, [b"d" * 16, b"e" * 16]), queue.client.pipeline(transaction=False)
        needed = ask.add_to(pipe, lambda _: None)
        assert ask.read(pipe.execute(raise_on_error=False), needed) == ([score, None], [])
    assert not queue.client.exists(queue.keys.cache_counters)
    pipe = queue.client.pipeline(transaction=False)
    ScoreWrites({b"e" * 16: score}, 60).add_to(pipe, queue.keys)
    pipe.execute()
    assert not queue.client.exists(queue.keys.score(b"e" * 16))


def test_an_operator_can_drop_and_is_refused_to_send_again(queue: Queueing) -> None:
    job = set_aside(queue)
    fill(queue)
    with pytest.raises(redis.OutOfMemoryError):
        retry(queue.client, queue.keys, queue.settings, job.job_id, 1.0)
    assert [letter.job_id for letter in list_dead(queue.client, queue.keys)] == [job.job_id]
    assert drop(queue.client, queue.keys, [job.job_id]) == 1


def test_commands_that_must_be_done_are_done_and_those_that_can_be_missed_are_not(queue: Queueing) -> None:
    fill(queue)
    at_any_limit.write_if_room(queue.client, queue.keys, lambda words: words.set("others:a", b"1"))
    at_any_limit.write(queue.client, queue.keys, lambda words: words.set("others:b", b"2").incr("others:b", 3))
    assert queue.client.mget("others:a", "others:b") == [None, b"5"]
    queue.client.execute_command("FLUSHALL", "SYNC")
    at_any_limit.write_if_room(queue.client, queue.keys, lambda words: words.set("others:a", b"1"))
    assert queue.client.get("others:a") == b"1"
