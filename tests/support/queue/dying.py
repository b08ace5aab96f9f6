"""Jobs that were set aside as a dead letter, without the poison: their leases are ended by hand."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

from rerank_shared.contract import wire
from rerank_shared.contract.messages import Job
from rerank_shared.queue.backlog import backlog_member
from rerank_shared.queue.celery_app import TASK_NAME
from rerank_shared.queue.job_queue import JobQueue
from support.jobs import make_job
from support.queue.queueing import Queueing


def set_aside(queue: Queueing, documents: tuple[str, ...] | None = ("one", "two words"), **changes: Any) -> Job:
    """Send a job as a client does and let it die once too often; returns it. `documents` None: by claim check."""
    fields: dict[str, Any] = {"job_id": uuid.uuid4().hex, "due_at": 5.0, "tokens": 7, "tenant": "acme"} | changes
    job = replace(make_job(queue.settings, "the secret query", ()), documents=documents, **fields)
    headers = {"due_at": job.due_at, "tokens": job.tokens, "tenant": job.tenant}
    queue.client.zadd(queue.keys.backlog(job.job_class), {backlog_member(job): job.deadline_at})
    with queue.app.connection_for_write() as connection:
        queue.app.send_task(
            TASK_NAME,
            (wire.encode_job(job),),
            task_id=job.job_id,
            queue=queue.keys.queue(job.job_class),
            headers=headers,
            reply_to="somebody",
            connection=connection,
        )
    victim = queue.receiver(owner="victim", max_deaths=1)
    victim.take()
    JobQueue(queue.keys).expire(queue.client, "victim")
    victim.channel.qos.restore_visible()
    return job
