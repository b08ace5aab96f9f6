"""Dead letters: jobs that were set aside because each worker that took them died. They can be shown, retried, dropped.

They hold the text of requests, so they are listed without it, and are deleted after `DEAD_TTL_S`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from rerank_shared.contract import wire
from rerank_shared.contract.messages import DeadLetter, Job
from rerank_shared.contract.token_ids import Content
from rerank_shared.contract.unreadable import read_or_none
from rerank_shared.errors import JobLost, MalformedMessage
from rerank_shared.keys import Keys
from rerank_shared.queue.backlog import backlog_member, uncount
from rerank_shared.queue.envelopes import job_in, message_again, read_envelope
from rerank_shared.queue.job_queue import ENQUEUE, SealedJob, StoredValue, queue_of
from rerank_shared.queue.lifetimes import end
from rerank_shared.scheduling.urgency import due_at
from rerank_shared.settings import Settings


@dataclass(frozen=True, slots=True)
class Opened:
    """A dead letter with its job; `documents` are None where their text is gone."""

    letter: DeadLetter
    job: Job
    documents: tuple[Content, ...] | None


def reply_to(letter: DeadLetter) -> str | None:
    """Return the channel on which the caller listens, None if the message names none."""
    found = read_envelope(letter.message).get("properties", {}).get("reply_to")
    return found if isinstance(found, str) else None


def headers_of(letter: DeadLetter) -> dict[str, Any]:
    """Return the headers of the letter's message, which any sender may have written."""
    found = read_envelope(letter.message).get("headers")
    return found if isinstance(found, dict) else {}


def job_of(letter: DeadLetter) -> Job:
    """Return the letter's job. Raises MalformedMessage or UnsupportedVersion where the message holds none."""
    try:
        return job_in(letter.message)
    except MalformedMessage as error:
        raise MalformedMessage(f"dead letter {letter.job_id}: {error.message}") from None


def dead_ids(client: Any, keys: Keys) -> list[str]:
    """Return the jobs of all dead letters, readable or not, the latest first."""
    return [job_id.decode(errors="replace") for job_id in client.zrevrange(keys.dead_index, 0, -1)]


def list_dead(client: Any, keys: Keys) -> list[DeadLetter]:
    """Return all dead letters that can be read, the latest first."""
    job_ids = client.zrevrange(keys.dead_index, 0, -1)
    records = client.hmget(keys.dead, job_ids) if job_ids else []
    found = (read_or_none("dead letter", wire.decode_dead, record) for record in records if record is not None)
    return [letter for letter in found if letter is not None]


def find_dead(client: Any, keys: Keys, job_id: str) -> DeadLetter:
    """Return the dead letter of a job. Raises JobLost if there is none."""
    record = client.hget(keys.dead, job_id)
    if record is None:
        raise JobLost(f"no job {job_id!r} was set aside in namespace {keys.namespace!r}: see `rerank-fleet dead list`")
    return wire.decode_dead(record)


def show(client: Any, keys: Keys, job_id: str) -> Opened:
    """Return a dead letter with its job and text. Raises JobLost, or MalformedMessage where it holds no job."""
    letter = find_dead(client, keys, job_id)
    job = job_of(letter)
    documents = job.documents
    if documents is None and (text := client.get(keys.text(job_id))) is not None:
        documents = wire.decode_texts(text)
    return Opened(letter, job, documents)


def retry(client: Any, keys: Keys, settings: Settings, job_id: str, now: float) -> Job:
    """Put a job on the common queue as a new attempt with a fresh deadline of its class; `now` is epoch seconds.

    Its deaths and its old result are deleted. Raises JobLost when its text is gone, and the errors of `show`.
    """
    opened = show(client, keys, job_id)
    if opened.documents is None:
        raise JobLost(f"the text of job {job_id!r} is gone, so it can't be run: `rerank-fleet dead drop {job_id}`")
    old = opened.job
    patience_ms = settings.bulk_deadline_ms if old.job_class == "bulk" else settings.default_deadline_ms
    deadline_at = now + patience_ms / 1000
    urgency = due_at(deadline_at=deadline_at, entered_at=now, aging_s=settings.aging_s)
    # Its pool may be gone; whoever takes it from the common queue serves its model, or files it where it is served.
    job = replace(old, attempt=old.attempt + 1, enqueued_at=now, deadline_at=deadline_at, due_at=urgency, pool="")
    tag, message = message_again(opened.letter.message, job, keys.of("").queue(job.job_class))
    values = []
    if (submitted := client.get(keys.request(job_id))) is not None:
        # `collect` must find the job by its new entry, and wait for its new deadline.
        plan = wire.decode_stored_request(submitted)
        plan = replace(plan, entry=backlog_member(job), pool=job.pool, deadline_at=deadline_at)
        life_ms = patience_ms + settings.result_ttl_s * 1000
        values.append(StoredValue(keys.request(job_id), wire.encode_stored_request(plan), life_ms))
    # First, in one step that a full server refuses as a whole; a kill before the second leaves a dead letter too many.
    names, args = queue_of(keys).enqueue_call(
        [SealedJob(job, tag, message)], values, [keys.deaths(job_id), keys.result(job_id)]
    )
    ENQUEUE(client, names, *args)
    pipe = client.pipeline(transaction=False)
    uncount(pipe, keys, old)
    if old.documents is None:
        # The text had the life-time of the dead letter; from now on it ends by itself, should the queue be emptied.
        pipe.zadd(keys.lifetimes, {keys.text(job_id): deadline_at + settings.redelivery_s + settings.result_ttl_s})
    _forget(pipe, keys, job_id)
    pipe.execute()
    return job


def drop(client: Any, keys: Keys, job_ids: Sequence[str]) -> int:
    """Delete dead letters with their texts; return how many existed."""
    # A full server refuses a transaction whatever is in it.
    pipe = client.pipeline(transaction=False)
    for job_id in job_ids:
        end(pipe, keys, keys.text(job_id))
        pipe.delete(keys.deaths(job_id))
        _forget(pipe, keys, job_id)
    return sum(pipe.execute()[3::5])


def _forget(pipe: Any, keys: Keys, job_id: str) -> None:
    pipe.hdel(keys.dead, job_id)
    pipe.zrem(keys.dead_index, job_id)
