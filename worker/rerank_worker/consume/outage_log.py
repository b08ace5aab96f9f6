"""Outage log filter: turns the outage records of Celery, kombu and redis-py into one line of words, or drops them.

The heartbeat and the wait for the server log each outage once. Without the filter a worker's log would also hold a
trace for each held job and each retry, with the failed command in it.
"""

from __future__ import annotations

import logging

import redis
from kombu.exceptions import OperationalError

from rerank_shared.redis.outage import outage_of

#: This logger says, for each held job and each retry, that the result could not be stored yet.
_REPEATS = "celery.backends.base"
#: In records of these loggers an OSError comes from a socket to Redis, and a refusal is an outage. An OSError of the
#: worker's own code may come from its disk, and a refusal may be its own fault: those records keep their traces.
_CONNECTING = ("celery.", "kombu.")


def tell_outages_in_words(record: logging.LogRecord) -> bool:
    """Replace the trace and redis-py's own text in a record by words; return False to drop the record."""
    error = record.exc_info[1] if record.exc_info else None
    is_outage = isinstance(error, redis.ConnectionError | redis.TimeoutError | OperationalError) or (
        isinstance(error, OSError | redis.RedisError) and record.name.startswith(_CONNECTING)
    )
    if is_outage and record.name == _REPEATS and record.levelno < logging.ERROR:
        return False
    if isinstance(record.args, tuple):
        record.args = tuple(_in_words(arg) for arg in record.args)
    if is_outage and error is not None:
        record.msg, record.args = f"{record.getMessage().strip()}: redis {outage_of(error).says}", ()
        record.exc_info = record.exc_text = None
    return True


def _in_words(arg: object) -> object:
    return outage_of(arg).says if isinstance(arg, redis.RedisError | OperationalError) else arg
