"""The stream of feedback in Redis: its records in order of time, its size, and what is deleted from it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import redis

from rerank_shared.contract import wire
from rerank_shared.contract.messages import Feedback
from rerank_shared.contract.unreadable import read_or_none
from rerank_shared.feedback import FIELD, REPLACE
from rerank_shared.keys import Keys
from rerank_shared.redis.outage import outage_of
from rerank_shared.redis.server_clock import server_epoch
from rerank_shared.settings.feedback import FeedbackSettings

log = logging.getLogger(__name__)
#: A copy that was left behind by then is deleted by a sweep of the queue.
_COPYING_S = 600
#: Others may delete at the same time.
_TRIES = 3
#: Records that are read at once, which bounds memory.
_BATCH = 1_000


@dataclass(frozen=True, slots=True)
class Stored:
    """A record as it lies in the stream. `feedback` is None where it can't be read. `at`: epoch seconds."""

    entry: str
    at: float
    feedback: Feedback | None


@dataclass(frozen=True, slots=True)
class Status:
    """What is kept. `bytes` is None where the server does not say; the times, epoch seconds, where nothing is kept."""

    records: int
    bytes: int | None
    oldest_at: float | None
    newest_at: float | None


def records(client: Any, keys: Keys) -> Iterator[Stored]:
    """Yield all records, the oldest first; those that come in meanwhile too."""
    after = "-"
    while batch := client.xrange(keys.feedback, min=after, count=_BATCH):
        for entry, fields in batch:
            data = fields.get(FIELD, b"")
            yield Stored(entry.decode(), _at(entry), read_or_none("feedback", wire.decode_feedback, data))
        after = f"({batch[-1][0].decode()}"


def status(client: Any, keys: Keys) -> Status:
    """Return what is kept."""
    size = None
    # Some managed servers refuse the question.
    with contextlib.suppress(redis.ResponseError):
        size = client.memory_usage(keys.feedback) or 0
    oldest, newest = client.xrange(keys.feedback, count=1), client.xrevrange(keys.feedback, count=1)
    at = [_at(entries[0][0]) if entries else None for entries in (oldest, newest)]
    return Status(client.xlen(keys.feedback), size, *at)


def sweep(client: Any, keys: Keys, settings: FeedbackSettings) -> int:
    """Delete the records that were kept for their time; return their number."""
    return delete_before(client, keys, server_epoch(client) - settings.feedback_keep_ms / 1000)


def delete_before(client: Any, keys: Keys, at: float) -> int:
    """Delete the records before a time, epoch seconds; return their number."""
    return int(client.xtrim(keys.feedback, minid=max(0, round(at * 1000)), approximate=False))


def delete(client: Any, keys: Keys, chosen: Callable[[Feedback], bool]) -> int:
    """Delete the records that `chosen` says, over the whole stream; return their number."""
    gone, waiting = 0, list[str]()
    for stored in records(client, keys):
        if stored.feedback is not None and chosen(stored.feedback):
            waiting.append(stored.entry)
        if len(waiting) == _BATCH:
            gone += client.xdel(keys.feedback, *waiting)
            waiting.clear()
    return gone + (client.xdel(keys.feedback, *waiting) if waiting else 0)


def rewrite(client: Any, keys: Keys) -> bool:
    """Copy the stream without what was deleted, and put the copy in its place; return whether that was done.

    Redis only marks deleted records, and frees their bytes with the block that holds them. Records that come in
    meanwhile are kept. A server at its memory limit refuses; then the stream stays as it is.
    """
    try:
        return any(_copied_and_replaced(client, keys) for _ in range(_TRIES))
    except redis.ResponseError as error:
        log.warning("feedback not rewritten error=%s", outage_of(error).says)
        client.unlink(keys.feedback_copy)
        return False


def _copied_and_replaced(client: Any, keys: Keys) -> bool:
    last = "0-0"
    client.unlink(keys.feedback_copy)
    client.zadd(keys.lifetimes, {keys.feedback_copy: server_epoch(client) + _COPYING_S})
    while batch := client.xrange(keys.feedback, min=f"({last}", count=_BATCH):
        pipe = client.pipeline(transaction=False)
        for entry, fields in batch:
            pipe.xadd(keys.feedback_copy, fields, id=entry)
        pipe.execute()
        last = batch[-1][0].decode()
        if len(batch) < _BATCH:
            break
    return bool(REPLACE(client, [keys.feedback, keys.feedback_copy, keys.lifetimes], last))


def delete_all(client: Any, keys: Keys) -> int:
    """Delete the stream; return how many records it had."""
    gone = int(client.xlen(keys.feedback))
    client.unlink(keys.feedback)
    return gone


def _at(entry: bytes) -> float:
    return int(entry.partition(b"-")[0]) / 1000
