"""Celery's consumer, with two changes: it answers messages that can't be opened, and it comes back soon.

A message of a refused content type (pickle above all) or with a broken body still carries its id and its reply channel
in its headers, so whoever sent it is told why, and does not wait for a result that will never come. And a lost server is tried again within two seconds,
not after Celery's 2, 4, 6 ... 30, since callers with deadlines wait behind it.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

from celery.app.task import Context
from celery.worker.consumer import Consumer

from rerank_shared.errors import RefusedContent
from rerank_worker import metrics

log = logging.getLogger(__name__)


class FleetConsumer(Consumer):
    """Answers undecodable messages with RefusedContent, and reconnects at short intervals."""

    def ensure_connected(self, conn: Any) -> Any:
        """Connect, trying again after 0.2 s, 0.4 s and so on up to 2 s."""
        conn.ensure_connection = partial(conn.ensure_connection, interval_start=0.2, interval_step=0.2, interval_max=2)
        return super().ensure_connected(conn)

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """Store RefusedContent as the message's result and acknowledge it; its body is never opened."""
        job_id = (message.headers or {}).get("id")
        metrics.MESSAGES_REFUSED.inc()
        log.error("message refused id=%s content_type=%s error=%r", job_id, message.content_type, exc)
        if job_id:
            error = RefusedContent(f"content type {message.content_type!r} is never opened here; send msgpack")
            request = Context(id=job_id, reply_to=(message.properties or {}).get("reply_to"))
            self.app.backend.mark_as_failure(job_id, error, request=request)
        message.ack()
