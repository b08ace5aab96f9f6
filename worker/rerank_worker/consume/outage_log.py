"""How Celery, kombu and redis-py may speak of an outage in a worker's log: in words, in one line, and not each time.

Heartbeats and the wait for the server tell of each outage once. What else is logged of it would be a trace for each job
in hand and each try, with the command that failed in it.
"""

from __future__ import annotations

import logging

import redis
from kombu.exceptions import OperationalError

from rerank_shared.redis.outage import outage_of

#: Says of each job in hand, at each try, that its result could not be stored yet.
_REPEATS = "celery.backends.base"
#: Whose OSError is that of a socket to Redis, and to whom a refusal is an outage. A worker's own OSError may be of its
#: disk, and a refusal a fault of its own: those keep their traces.
_CONNECTING = ("celery.", "kombu.")


def tell_outages_in_words(record: logging.LogRecord) -> bool:
    """Take traces and redis-py's own text out of a record; returns whether it is to be logged at all."""
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
