"""Envelopes: a job's message as it lies in Redis, JSON of kombu's: opened, and addressed anew. Of any sender."""

from __future__ import annotations

import base64
import json
import uuid
from typing import Any

from kombu.serialization import dumps, loads

from rerank_shared.contract import wire
from rerank_shared.contract.messages import Job
from rerank_shared.errors import MalformedMessage
from rerank_shared.queue.urgency_headers import urgency_of, write_urgency

_ACCEPT = ("application/x-msgpack", "application/json")


def read_envelope(message: str | bytes) -> dict[str, Any]:
    """Return a message's envelope, empty where it is none."""
    found = json.loads(message)
    return found if isinstance(found, dict) else {}


def address(envelope: dict[str, Any], queue: str) -> None:
    """Write the name of the queue that it lies on into a message."""
    envelope["properties"]["delivery_info"]["routing_key"] = queue


def job_in(message: str | bytes) -> Job:
    """Return the job in a message. Raises MalformedMessage or UnsupportedVersion where it holds none."""
    return wire.decode_job(_arguments(read_envelope(message))[0][0])


def message_again(message: str | bytes, job: Job, queue: str) -> tuple[str, str]:
    """Return a new delivery tag, and the message for `queue` with `job` in it. Raises MalformedMessage."""
    envelope = read_envelope(message)
    (_, *more), *rest = _arguments(envelope)
    body = [[wire.encode_job(job), *more], *rest]
    _, _, data = dumps(body, "msgpack" if "msgpack" in envelope["content-type"] else "json")
    tag = envelope["properties"]["delivery_tag"] = str(uuid.uuid4())
    address(envelope, queue)
    envelope["body"] = base64.b64encode(data if isinstance(data, bytes) else data.encode()).decode()
    write_urgency(envelope, urgency_of(job))
    return tag, json.dumps(envelope)


def _arguments(envelope: dict[str, Any]) -> Any:
    try:
        body = base64.b64decode(envelope["body"])
        arguments = loads(body, envelope["content-type"], envelope["content-encoding"], accept=_ACCEPT)
        if isinstance(arguments[0][0], bytes):
            return arguments
    except Exception as error:  # decoders may raise anything on a foreign body
        raise MalformedMessage(f"the message can't be opened: {error!r}") from None
    raise MalformedMessage("the message holds no job")
