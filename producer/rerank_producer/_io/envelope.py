"""Envelope: a job as the Celery message on the queue, spelled as Celery spells one (task protocol 2).

Celery's own producer needs connections, declarations and round trips of its own. Workers, `AsyncResult`, `revoke` and
Flower see no difference; a test compares this message with one that Celery sent.
"""

from __future__ import annotations

import base64
import os
import socket
from typing import Any

from kombu.serialization import dumps as serialize
from kombu.utils.json import dumps

from rerank_shared.contract import wire
from rerank_shared.contract.messages import Job
from rerank_shared.keys import Keys
from rerank_shared.queue.celery_app import TASK_NAME
from rerank_shared.queue.urgency_headers import urgency_of, write_urgency
from rerank_shared.tracing.spans import Carrier

#: Placeholders: the content of a request must not appear in events and logs.
_REPRS = {"argsrepr": "(job,)", "kwargsrepr": "{}"}
_PERSISTENT = 2
_EMBED = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


def seal(keys: Keys, job: Job, tag: str, reply_to: str | None, carrier: Carrier | None = None) -> str:
    """Return the message as JSON. `tag` is its delivery tag; the answer is announced on `reply_to`.

    `carrier` holds the trace context that goes with it.
    """
    content_type, content_encoding, body = serialize([[wire.encode_job(job)], {}, _EMBED], "msgpack")
    message: dict[str, Any] = {
        "body": base64.b64encode(body).decode(),
        "content-encoding": content_encoding,
        "content-type": content_type,
        "headers": {
            "lang": "py", "task": TASK_NAME, "id": job.job_id, "shadow": None, "eta": None, "expires": None,
            "group": None, "group_index": None, "retries": 0, "timelimit": [None, None], "root_id": job.job_id,
            "parent_id": None, **_REPRS, "origin": f"gen{os.getpid()}@{socket.gethostname()}", "ignore_result": None,
            "replaced_task_nesting": 0, "stamped_headers": None, "stamps": {}, **(carrier or {}),
        },
        "properties": {
            "correlation_id": job.job_id, "reply_to": reply_to, **_REPRS, "delivery_mode": _PERSISTENT,
            "delivery_info": {"exchange": "", "routing_key": keys.of(job.pool).queue(job.job_class)},
            "priority": 0, "body_encoding": "base64", "delivery_tag": tag,
        },
    }  # fmt: skip
    write_urgency(message, urgency_of(job))
    return str(dumps(message))
