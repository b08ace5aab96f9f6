"""What the queue writes down and crosses out: nothing is left of a job that was done, nothing is lost of one that was
not, and what plain Celery callers and tools see stays true."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kombu import Producer
from kombu.exceptions import ChannelError

from rerank_shared.queue.job_queue import JobQueue
from rerank_shared.queue.transport.qos import SettledTags
from rerank_shared.settings import Settings
from support.queue.queueing import Queueing, queueing, send_plain

pytestmark = pytest.mark.integration


@pytest.fixture
def queue(settings: Settings) -> Iterator[Queueing]:
    with queueing(settings) as opened:
        yield opened


def waiting(queue: Queueing) -> int:
    return int(queue.client.llen(queue.keys.queue_list("interactive")))


def test_no_key_is_left_of_jobs_that_are_done(queue: Queueing) -> None:
    for number in range(20):
        queue.send(f"job-{number}", "bulk" if number % 3 else "interactive", tenant=str(number % 4))
    receiver = queue.receiver()
    receiver.receive(20)
    assert queue.client.hlen(queue.keys.lease_owners) == 20
    for message in receiver.messages:
        message.ack()
    assert queue.lasting() == set()


def test_a_job_is_on_record_under_its_holder_from_the_moment_it_is_taken(queue: Queueing) -> None:
    queue.send("job")
    receiver = queue.receiver(owner="worker-7")
    receiver.receive()
    tag = receiver.messages[0].delivery_tag
    assert queue.client.hkeys(queue.keys.unacked) == [tag.encode()]
    assert queue.client.hget(queue.keys.lease_owners, tag) == b"worker-7"
    assert abs((queue.client.zscore(queue.keys.leases, tag) or 0) - queue.client.time()[0]) < 60
    assert queue.client.hlen(queue.keys.waiting("interactive")) == 0


@pytest.mark.parametrize("close", [False, True])
def test_a_job_that_is_given_back_waits_where_it_was(queue: Queueing, close: bool) -> None:
    for name, due_at in (("first", 1.0), ("second", 2.0), ("third", 3.0)):
        queue.send(name, due_at=due_at, tenant="t")
    receiver = queue.receiver()
    receiver.take(2)
    first, second = receiver.messages
    second.ack()
    if close:
        receiver.connection.release()
    else:
        first.reject(requeue=True)
    again = queue.receiver()
    assert again.receive(2) == ["first", "third"]
    assert [message.delivery_info["redelivered"] for message in again.messages] == [True, False]
    assert again.messages[0].headers["redelivered"]
    for message in again.messages:
        message.ack()
    assert queue.lasting() == set()


def test_what_is_given_back_after_it_was_acknowledged_stays_away(queue: Queueing) -> None:
    queue.send("job")
    receiver = queue.receiver()
    receiver.receive()
    message = receiver.messages[0]
    pipe = queue.client.pipeline()
    JobQueue(queue.keys).settle(pipe, message.delivery_tag, "job")
    pipe.execute()
    message.reject(requeue=True)
    assert queue.receiver().take() == []
    assert queue.lasting() == set()


def test_consumers_that_never_acknowledge_leave_nothing_behind(queue: Queueing) -> None:
    queue.send("one")
    queue.send("two", due_at=2e9)
    receiver = queue.receiver(no_ack=True)
    assert receiver.receive(1) == ["one"]
    message = receiver.channel.basic_get(queue.keys.queue("interactive"), no_ack=True)
    assert message.headers["id"] == "two"
    assert receiver.channel.basic_get(queue.keys.queue("interactive")) is None
    assert queue.lasting() == set()


def test_a_lost_bell_is_rung_again(queue: Queueing) -> None:
    for name in ("one", "two", "three"):
        queue.send(name)
    queue.client.delete(queue.keys.queue_list("interactive"))
    receiver = queue.receiver()
    receiver.take(1)
    assert waiting(queue) == 2
    queue.client.delete(queue.keys.queue_list("interactive"))
    assert len(queue.receiver().receive(2)) == 2


def test_stale_bells_are_bounded(queue: Queueing) -> None:
    for number in range(30):
        queue.send(f"job-{number}")
    receiver = queue.receiver()
    for left in range(29, -1, -1):
        receiver.take(1)
        assert waiting(queue) == left
    queue.client.lpush(queue.keys.queue_list("interactive"), *range(50))
    assert receiver.take() == []
    assert waiting(queue) == 0


def test_a_consumer_that_has_enough_hands_its_bell_on(queue: Queueing) -> None:
    busy, idle = queue.receiver(), queue.receiver()
    queue.send("first")
    busy.take(1)
    # It blocks on the wake-up when it turns out that it has enough.
    busy.listen()
    busy.consumer.qos(prefetch_count=1)
    queue.send("second")
    busy.listen()
    assert busy.names == ["first"]
    assert waiting(queue) == 1
    assert idle.receive() == ["second"]


def test_fairness_outlasts_a_pause_and_never_a_waiting_job(queue: Queueing) -> None:
    queue.send("first", tenant="t")
    queue.receiver(no_ack=True).take()
    assert queue.client.ttl(queue.keys.served("interactive")) > 0
    queue.send("second", tenant="t")
    assert {queue.keys.served("interactive"), queue.keys.fair} <= queue.lasting()


def test_a_plain_sender_s_message_is_delivered_and_kept_on_record(queue: Queueing) -> None:
    queue.send("ours", due_at=1.0)
    send_plain(queue, "plain")
    assert waiting(queue) == 2
    receiver = queue.receiver()
    assert receiver.receive(2) == ["ours", "plain"]
    assert queue.client.hlen(queue.keys.unacked) == 2
    receiver.messages[1].reject(requeue=True)
    again = queue.receiver()
    assert again.receive(1) == ["plain"]
    for message in (receiver.messages[0], again.messages[0]):
        message.ack()
    assert queue.lasting() == set()


def test_plain_messages_are_not_taken_for_stale_bells(queue: Queueing) -> None:
    send_plain(queue, "at one end")
    queue.send("ours")
    send_plain(queue, "at the other")
    receiver = queue.receiver()
    assert receiver.take(9) == ["ours"]
    assert sorted(receiver.receive(3)) == ["at one end", "at the other", "ours"]
    assert waiting(queue) == 0


def test_what_is_no_message_is_dropped_and_consuming_goes_on(queue: Queueing) -> None:
    queue.client.lpush(queue.keys.queue_list("interactive"), '{"no": "message"}', "{garbage", "a wake-up for nobody")
    queue.send("job")
    assert queue.receiver().receive() == ["job"]
    assert queue.receiver().take() == []


def test_tools_see_the_length_and_can_purge(queue: Queueing) -> None:
    queue.send("bulk", "bulk")
    for number in range(5):
        queue.send(f"job-{number}", tenant=str(number % 2))
    send_plain(queue, "plain")
    with queue.app.connection_for_read() as connection, connection.channel() as channel:
        name = queue.keys.queue("interactive")
        assert channel.queue_declare(name, passive=True).message_count == 6
        assert waiting(queue) == 6
        assert channel.queue_purge(name) == 6
        with pytest.raises(ChannelError):
            channel.queue_declare(name, passive=True)
        assert channel.queue_declare(queue.keys.queue("bulk"), passive=True).message_count == 1
    assert queue.receiver().receive() == ["bulk"]
    assert not queue.client.exists(queue.keys.order("interactive", "0"), queue.keys.waiting("interactive"))


def test_namespaces_do_not_meet(queue: Queueing, settings: Settings) -> None:
    other_settings = settings.model_copy(update={"namespace": f"{settings.namespace}-other"})
    with queueing(other_settings) as other:
        queue.send("ours")
        other.send("theirs")
        assert other.receiver().take(9) == ["theirs"]
        assert queue.receiver().take(9) == ["ours"]


def test_batches_of_messages_take_the_same_way(queue: Queueing) -> None:
    with queue.app.connection_for_write() as connection:
        producer = Producer(connection, serializer="json")
        with producer.batch():
            for name, due_at in (("second", 2.0), ("first", 1.0)):
                producer.publish(name, routing_key=queue.keys.queue("bulk"), headers={"id": name, "due_at": due_at})
    assert queue.receiver().receive(2) == ["first", "second"]


def test_other_queues_stay_kombu_s(queue: Queueing) -> None:
    with queue.app.connection_for_read() as connection:
        plain = connection.SimpleQueue("something else")
        plain.put({"a": 1})
        message = plain.get(timeout=20)
        assert message.payload == {"a": 1}
        message.requeue()
        message = plain.get(timeout=20)
        assert queue.client.hlen(queue.keys.prefix + "unacked") == 1
        assert queue.client.hlen(queue.keys.unacked) == 0
        message.channel.visibility_timeout = -1.0
        message.channel.qos.restore_visible()
        assert plain.get(timeout=20).payload == {"a": 1}
        plain.close()


def test_a_job_that_was_acknowledged_with_its_outcome_is_told_once() -> None:
    settled = SettledTags()
    settled.add("a")
    assert [settled.take(tag) for tag in ("b", "a", "a")] == [False, True, False]
