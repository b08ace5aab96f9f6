"""Queues that are not the fleet's, on the fleet's transport: they behave as on kombu's own."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kombu import Connection, Consumer, Producer, Queue

from rerank_shared.queue.transport import fleet_broker_url
from rerank_shared.redis.connections import connect
from rerank_shared.settings import Settings
from support.queue.queueing import Queueing, queueing

pytestmark = pytest.mark.integration


class Other:
    """Consumes queues by their names, beside the fleet's if those are among them."""

    def __init__(self, connection: Connection, *names: str) -> None:
        self.connection = connection
        self.channel: Any = connection.channel()
        self.messages: list[Any] = []
        queues = [Queue(name, routing_key=name) for name in names]
        self.consumer = Consumer(self.channel, queues, on_message=self.messages.append, accept=["json", "msgpack"])
        self.consumer.consume()
        self._producer = Producer(self.channel, serializer="json")

    @property
    def bodies(self) -> list[Any]:
        return [message.payload for message in self.messages]

    def send(self, body: str, queue: str, **options: Any) -> None:
        self._producer.publish(body, routing_key=queue, **options)

    def receive(self, count: int) -> list[Any]:
        while len(self.messages) < count:
            self.connection.drain_events(timeout=20)
        return self.bodies

    def listen(self) -> None:
        """Consume whatever comes within a tenth of a second; the question for more stays asked."""
        try:
            while True:
                self.connection.drain_events(timeout=0.1)
        except TimeoutError:
            pass


@pytest.fixture
def name() -> str:
    """A queue's name that no other test uses."""
    return f"mine-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def queue(settings: Settings) -> Iterator[Queueing]:
    with queueing(settings) as opened:
        yield opened


@pytest.fixture
def consume(settings: Settings, queue: Queueing) -> Iterator[Callable[..., Other]]:
    """Open a consumer: `consume(*queues, **transport options)`, the options in place of the app's if there are any."""
    opened: list[Connection] = []

    def start(*names: str, **options: Any) -> Other:
        given = options or queue.app.conf.broker_transport_options
        opened.append(Connection(fleet_broker_url(settings), transport_options=given))
        return Other(opened[-1], *names)

    yield start
    for connection in opened:
        connection.release()


def test_priorities_are_delivered_in_their_order(consume: Callable[..., Other], name: str) -> None:
    other = consume(name)
    for priority in (9, 6, 0, 3):
        other.send(str(priority), name, priority=priority)
    assert other.receive(4) == ["0", "3", "6", "9"]


def test_what_is_rejected_does_not_starve_the_rest(consume: Callable[..., Other], name: str) -> None:
    other = consume(name)
    for body in ("again", "second", "third"):
        other.send(body, name)
    for count in range(1, 4):
        other.receive(count)
        other.messages[-1].reject(requeue=other.bodies[-1] == "again")
    assert other.receive(4) == ["again", "second", "third", "again"]


@pytest.mark.parametrize("ends_in_colon", [True, False, None])
@pytest.mark.parametrize("books", [{}, {"unacked_key": "mine", "unacked_index_key": "mine_index"}])
def test_books_are_under_one_name(
    consume: Callable[..., Other],
    settings: Settings,
    name: str,
    ends_in_colon: bool | None,
    books: dict[str, str],
) -> None:
    prefix = {True: f"{name}:", False: f"{name}_", None: ""}[ends_in_colon]
    other = consume(name, global_keyprefix=prefix, **books)
    unacked, index = (
        prefix + books.get("unacked_key", "unacked"),
        prefix + books.get("unacked_index_key", "unacked_index"),
    )
    for body in ("done", "again"):
        other.send(body, name)
    other.receive(2)
    tags = [message.delivery_tag for message in other.messages]
    with connect(settings) as client:
        assert client.hmget(unacked, tags).count(None) == 0
        other.messages[0].ack()
        other.messages[1].requeue()
        assert other.receive(3)[2] == "again"
        assert other.messages[2].delivery_info["redelivered"]
        other.messages[2].ack()
        assert client.hmget(unacked, tags) == client.zmscore(index, tags) == [None, None]
        assert not [key for key in client.scan_iter(f"{prefix}*unacked*") if prefix]


def test_without_a_namespace_the_fleet_s_names_are_kombu_s_queues(
    consume: Callable[..., Other], queue: Queueing, name: str
) -> None:
    other = consume("jobs.interactive", global_keyprefix=f"{name}_")
    other.send("plain", "jobs.interactive")
    assert other.receive(1) == ["plain"]
    assert queue.client.hlen(f"{name}_unacked") == 1
    other.messages[0].ack()


def test_a_message_outlasts_the_lease_of_jobs(consume: Callable[..., Other], queue: Queueing, name: str) -> None:
    options = queue.app.conf.broker_transport_options | {"lease_s": -1.0}
    holder, other = consume(name, **options), consume(name, queue.keys.queue("interactive"), **options)
    holder.send("mine", name)
    queue.send("job")
    holder.receive(1)
    other.receive(1)
    other.channel.qos.restore_visible(interval=1)
    other.listen()
    assert [message.headers.get("id") for message in other.messages] == ["job", "job"]
    assert queue.client.hlen(queue.keys.prefix + "unacked") == 1


@pytest.mark.parametrize("beside_jobs", [False, True])
def test_prefetch_is_never_exceeded(
    consume: Callable[..., Other], queue: Queueing, name: str, beside_jobs: bool
) -> None:
    other = consume(name, *([queue.keys.queue("interactive")] if beside_jobs else []))
    other.consumer.qos(prefetch_count=1)
    # It waits for a message already when it turns out that it has enough.
    other.listen()
    other.send("held", f"{name}-held")
    held = other.channel.basic_get(f"{name}-held")
    other.send("first", name)
    other.send("second", name)
    other.listen()
    assert other.bodies == []
    held.ack()
    assert other.receive(1) == ["first"]
    other.listen()
    assert other.bodies == ["first"]
    other.messages[0].ack()
    assert other.receive(2) == ["first", "second"]


def test_without_acknowledgements_neither_books_nor_jobs_suffer(
    consume: Callable[..., Other], queue: Queueing, name: str
) -> None:
    options = queue.app.conf.broker_transport_options | {"ack_emulation": False}
    other = consume(name, queue.keys.queue("interactive"), **options)
    other.send("mine", name)
    queue.send("job")
    other.receive(2)
    assert queue.client.hlen(queue.keys.prefix + "unacked") == 0
    assert queue.client.hlen(queue.keys.unacked) == 1
    for message in list(other.messages):
        message.requeue()
    other.receive(4)
    for message in other.messages[2:]:
        message.ack()
    assert queue.lasting() == set()
