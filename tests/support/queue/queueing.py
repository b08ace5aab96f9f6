"""The fleet's queue without workers: messages are sent as clients send them and consumed by plain kombu consumers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from celery import Celery
from kombu import Connection, Consumer, Producer

from rerank_shared.contract.messages import DeadLetter
from rerank_shared.keys import JOB_CLASSES, JobClass, Keys
from rerank_shared.queue.celery_app import make_celery
from rerank_shared.redis.connections import broker_url, connect
from rerank_shared.settings import Settings

PATIENCE_S = 60.0


class Receiver:
    """A plain consumer; `channel` is the fleet's own."""

    def __init__(self, connection: Connection, app: Celery, queues: Sequence[str], no_ack: bool):
        self.connection = connection
        self.channel: Any = connection.channel()
        self.messages: list[Any] = []
        self.consumer = Consumer(
            self.channel,
            queues=[app.amqp.queues[queue] for queue in queues],
            on_message=self.messages.append,
            accept=["msgpack", "json"],
            no_ack=no_ack,
        )
        self.consumer.consume()

    @property
    def names(self) -> list[str]:
        """The ids of the jobs received, in order."""
        return [message.headers["id"] for message in self.messages]

    def receive(self, count: int = 1) -> list[str]:
        """Consume until `count` jobs are there; returns the ids of all."""
        while len(self.messages) < count:
            self.connection.drain_events(timeout=PATIENCE_S)
        return self.names

    def take(self, count: int = 1, before: float | None = None, woken: str = "") -> list[str]:
        """Take at most `count` jobs without waiting for a wake-up; returns the ids of these."""
        start = len(self.messages)
        while len(self.messages) < start + count and self.channel.take(before, woken):
            pass
        return self.names[start:]

    def listen(self) -> None:
        """Consume whatever a wake-up rings for within a tenth of a second."""
        try:
            while True:
                self.connection.drain_events(timeout=0.1)
        except TimeoutError:
            pass


class Queueing:
    """One namespace's queue: sends jobs, opens receivers, and closes what it opened."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.keys = Keys(settings.namespace)
        self.client = connect(settings)
        self.app = make_celery(settings, results=False)
        self._opened: list[Connection] = []

    def send(
        self, name: str, job_class: JobClass = "interactive", due_at: float = 1e9, tokens: int = 1, tenant: str = ""
    ) -> None:
        """Send a job that is told by its name."""
        self.send_with({"due_at": due_at, "tokens": tokens, "tenant": tenant}, name, job_class)

    def send_with(self, headers: Mapping[str, Any], name: str, job_class: JobClass = "interactive") -> None:
        """Send a job with any headers."""
        with self.app.connection_for_write() as connection:
            self.app.send_task(
                "test", (name,), task_id=name, queue=self.keys.queue(job_class), headers=headers, connection=connection
            )

    def send_to(
        self, pool: str, name: str, job_class: JobClass = "interactive", due_at: float = 1e9, tokens: int = 1
    ) -> None:
        """Send a job to a pool."""
        headers = {"id": name, "due_at": due_at, "tokens": tokens, "tenant": ""}
        with self.app.connection_for_write() as connection:
            producer = Producer(connection, serializer="json")
            queue = self.keys.of(pool).queue(job_class)
            producer.publish([[name], {}, {}], routing_key=queue, headers=headers)

    def receiver(
        self,
        *,
        classes: tuple[JobClass, ...] = JOB_CLASSES,
        pools: tuple[str, ...] = ("",),
        no_ack: bool = False,
        on_dead_letter: Callable[[DeadLetter], None] | None = None,
        **options: Any,
    ) -> Receiver:
        """Open a consumer of these classes and pools; `options` are the transport's."""
        transport_options = self.app.conf.broker_transport_options | options
        connection = self.app.connection_for_read().clone(transport_options=transport_options)
        self._opened.append(connection)
        queues = [self.keys.of(pool).queue(job_class) for pool in pools for job_class in classes]
        receiver = Receiver(connection, self.app, queues, no_ack)
        receiver.channel.on_dead_letter = on_dead_letter
        return receiver

    def lasting(self) -> set[str]:
        """Keys of this namespace without a life-time, but for kombu's bindings of queues."""
        found = self.client.scan_iter(f"{self.keys.prefix}*")
        names = {key.decode() for key in found if self.client.ttl(key) == -1}
        return {name for name in names if not name.startswith(f"{self.keys.prefix}_kombu.binding")}

    def close(self) -> None:
        """Close all connections."""
        for connection in self._opened:
            connection.release()
        self.app.close()
        self.client.close()


def send_plain(queue: Queueing, name: str) -> None:
    """Send as a Celery caller without this transport does."""
    options = {"global_keyprefix": queue.keys.prefix}
    with Connection(broker_url(queue.settings), transport_options=options) as connection:
        producer = Producer(connection, serializer="json")
        producer.publish([[name], {}, {}], routing_key=queue.keys.queue("interactive"), headers={"id": name})


@contextmanager
def queueing(settings: Settings) -> Iterator[Queueing]:
    """Give a queue and close it."""
    opened = Queueing(settings)
    try:
        yield opened
    finally:
        opened.close()
