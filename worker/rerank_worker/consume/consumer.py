"""Consumer: Celery's, changed where a lost server or a broken message would cost a caller its answer.

- A task of another program is answered with an error that names its right queue. Celery would log its arguments,
  documents included.
- A message of a refused content type (pickle above all) carries its id and reply channel in its headers, so its sender
  gets an error. Celery would only log and drop it.
- A lost server is tried again within two seconds, not after Celery's 2, 4, 6 ... 30, and logged once.
- A lost connection does not requeue the jobs that this process holds. kombu would try to, on the lost connection, and
  that ends the worker. The jobs run on under their leases, and are acknowledged on the new connection.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from celery.app.task import Context
from celery.exceptions import NotRegistered
from celery.worker.consumer import Consumer
from celery.worker.state import maybe_shutdown
from redis import ResponseError

from rerank_shared.contract.messages import DeadLetter
from rerank_shared.errors import RefusedContent
from rerank_shared.queue.celery_app import TASK_NAME
from rerank_shared.redis.connections import OUTAGES_AND_REFUSALS
from rerank_shared.redis.outage import outage_of
from rerank_worker import metrics
from rerank_worker.consume.gate import Gate
from rerank_worker.consume.server_wait import ServerWait

log = logging.getLogger(__name__)
OnPoison = Callable[[DeadLetter], None]


def consumer_of(gate: Gate, server: ServerWait, on_dead_letter: OnPoison) -> type[Consumer]:
    """Return the consumer class for Celery's setting `worker_consumer`.

    `gate` decides when a job is taken. `on_dead_letter` is called once for each job that this process sets aside.
    """
    attributes = {"gate": gate, "server": server, "on_dead_letter": staticmethod(on_dead_letter)}
    return type("FleetConsumer", (_FleetConsumer,), attributes)


def _without_secrets(info: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what kombu tells of a connection, without certificates and passwords."""
    told = info()
    options = {name: each for name, each in told["transport_options"].items() if name != "connection_options"}
    return told | {"transport_options": options, "ssl": bool(told["ssl"])}


class _FleetConsumer(Consumer):
    gate: Gate
    server: ServerWait
    on_dead_letter: OnPoison

    def connect(self) -> Any:
        """Connect as Celery does; `celery inspect stats` shows how, and must show no secret."""
        connection = super().connect()
        connection.info = partial(_without_secrets, connection.info)
        return connection

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], Any]:
        """Wrap Celery's handler: the gate records a message before any thread works on it."""
        handle = super().create_task_handler(*args, **kwargs)

        def on_task_received(message: Any) -> Any:
            self.gate.took(message)
            return handle(message)

        return on_task_received

    def ensure_connected(self, conn: Any) -> Any:
        """Wait until the server is usable, then connect; retry after 0.2 s, 0.4 s and so on up to 2 s."""
        self.server.wait(maybe_shutdown)
        conn.ensure_connection = partial(conn.ensure_connection, interval_start=0.2, interval_step=0.2, interval_max=2)
        return super().ensure_connected(conn)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Drop the connection but keep the jobs taken on it. After a refusal, pause before the next connection."""
        if self.task_consumer is not None:
            self.task_consumer.channel.do_restore = False
        super().on_connection_error_after_connected(exc)
        if isinstance(exc, ResponseError):
            self.server.rest(maybe_shutdown)

    def call_soon_ack(self, p: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Acknowledge or reject on the event loop, without the message's channel if that is closed by then."""
        message = getattr(p, "__self__", None)

        def settle_once(*late: Any, **options: Any) -> Any:
            if message is None or not message.channel.closed:
                return p(*late, **options)
            return self._settle_alone(message, late, options)

        return super().call_soon_ack(settle_once, *args, **kwargs)

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """Answer a message with a broken body with an error; the message is acknowledged."""
        self._refuse_content(message, exc)

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:
        """Answer a message of a refused content type with an error; its body is never opened."""
        self._refuse_content(message, exc)

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:
        """Answer a task that no worker of the fleet runs with an error."""
        name, queue = (message.headers or {}).get("task"), (message.delivery_info or {}).get("routing_key")
        told = (
            f"{name!r}: workers of the fleet run {TASK_NAME!r} alone, and queue {queue!r} is theirs. Send your own "
            "tasks to another, such as Celery's default, and run a Celery worker of your own on it (docs/celery.md)."
        )
        self._refuse(message, NotRegistered(told))

    def _refuse_content(self, message: Any, exc: Exception) -> None:
        told = f"content type {message.content_type!r} is not opened here; send msgpack ({exc})"
        self._refuse(message, RefusedContent(told))

    def _refuse(self, message: Any, error: Exception) -> None:
        job_id = (message.headers or {}).get("id")
        metrics.MESSAGES_REFUSED.inc()
        log.error("message refused id=%s error=%s", job_id, error)
        if job_id:
            request = Context(id=job_id, reply_to=(message.properties or {}).get("reply_to"))
            self.app.backend.mark_as_failure(job_id, error, request=request)
        message.ack()

    def _settle_alone(self, message: Any, late: tuple[Any, ...], options: dict[str, Any]) -> None:
        """Acknowledge a delivery of a closed channel on the broker.

        A delivery that goes back to the queue is left alone: no process renews its lease, so the lease runs out and the
        job is delivered again.
        """
        self.gate.forget(message.delivery_tag)
        if self.gate.settled.take(message.delivery_tag):
            return
        if options.get("requeue") or True in late:
            return
        try:
            pipe = self.app.backend.client.pipeline(transaction=False)
            message.channel.settle_on(pipe, message)
            pipe.execute()
        except OUTAGES_AND_REFUSALS as error:
            log.warning("acknowledgement lost, the job will be delivered again: redis %s", outage_of(error).says)
