"""The revoker: takes jobs back from the queue through Celery. Blocking; threads may share one.

It has connection pools of its own: Celery's are one set for all apps of a process, with one limit that each app sets
again, and a forked child would find its parent's sockets in them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from celery import Celery
from celery.app.amqp import AMQP
from kombu.pools import ProducerPool

from rerank_producer._io.port import TIMEOUT_S
from rerank_shared.queue.celery_app import make_celery
from rerank_shared.redis.connections import outages_told
from rerank_shared.settings import Settings


class _OwnPool(AMQP):  # type: ignore[misc]
    @cached_property
    def producer_pool(self) -> ProducerPool:
        limit = self.app.conf.broker_pool_limit
        return ProducerPool(self.app.connection_for_write().Pool(limit=limit), limit=limit)


class Revoker:
    """Takes a client's jobs back. Celery is set up on first use, so clients without cancellation don't pay for it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._made: Celery | None = None

    def revoke(self, job_id: str) -> None:
        """Tell all workers to drop a job; workers that start later don't learn of it. Raises QueueUnavailable."""
        self.withdraw([job_id], lambda pipe: None)

    def withdraw(self, job_ids: Sequence[str], fill: Callable[[Any], None]) -> None:
        """Revoke jobs, and run the commands that `fill` queues on a pipeline. Raises QueueUnavailable."""
        if not job_ids:
            return
        app = self._app()
        doing = f"cancelling job {', '.join(job_ids)}"
        with outages_told(self._settings, doing), app.amqp.producer_pool.acquire(True) as producer:
            app.control.revoke(list(job_ids), connection=producer.connection)
            pipe = producer.connection.default_channel.plain_client.pipeline(transaction=False)
            fill(pipe)
            pipe.execute()

    def close(self) -> None:
        """Close all connections; the revoker opens new ones when it is used again."""
        with self._lock:
            app, self._made = self._made, None
        if app is not None:
            app.amqp.producer_pool.force_close_all()
            app.amqp.producer_pool.connections.force_close_all()
            app.close()

    def _app(self) -> Celery:
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made

    def _make(self) -> Celery:
        app = make_celery(self._settings, results=False)
        app.amqp_cls = _OwnPool
        app.conf.task_publish_retry_policy = {"max_retries": 1, "interval_start": 0}
        # A client's reads are short, and it has a deadline of its own.
        app.conf.broker_transport_options |= {
            "socket_timeout": TIMEOUT_S,
            "socket_connect_timeout": TIMEOUT_S,
            # For the first connection, which kombu would otherwise try for six seconds.
            "max_retries": 1,
            "interval_start": 0,
        }
        # Made now: threads that race for it would each make their own.
        _ = app.amqp.producer_pool
        return app
