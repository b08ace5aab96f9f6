"""Celery's consumer, with one change: a message that can't be opened is answered, not only logged and dropped.

A message of a refused content type (pickle above all) or with a broken body still carries its id and its reply channel
in its headers, so whoever sent it is told why, and does not wait for a result that will never come.
"""

from __future__ import annotations

import logging
from typing import Any

from celery.app.task import Context
from celery.worker.consumer import Consumer

from rerank_shared.errors import RefusedContent
from rerank_worker import metrics

log = logging.getLogger(__name__)


class FleetConsumer(Consumer):
    """Answers undecodable messages with RefusedContent."""

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
