"""What a worker's log makes of records that hold an exception of redis-py: words, one line, and no document."""

from __future__ import annotations

import errno
import logging
import sys

import pytest
import redis

from rerank_worker.consume.outage_log import tell_outages_in_words

ERROR = redis.ConnectionError("while SET rerank:text:1 bread city market")


def record(name: str, message: str, *args: object, error: Exception | None = None) -> logging.LogRecord:
    try:
        if error is not None:
            raise error
    except type(error or ERROR):
        return logging.LogRecord(name, logging.WARNING, "", 1, message, args, sys.exc_info())
    return logging.LogRecord(name, logging.WARNING, "", 1, message, args, None)


def test_a_trace_of_an_outage_becomes_words() -> None:
    made = record("celery.worker", "Something of %s", "a job", error=ERROR)
    assert tell_outages_in_words(made)
    assert logging.Formatter().format(made) == "Something of a job: redis can't be reached: it closed the connection"


def test_an_outage_among_the_arguments_becomes_words() -> None:
    made = record("celery.worker", "lost (%r) of %d", ERROR, 3)
    assert tell_outages_in_words(made)
    assert "bread" not in made.getMessage()
    assert "can't be reached" in made.getMessage()


def test_a_refusal_among_the_arguments_becomes_words() -> None:
    refusal = redis.ResponseError("Command # 1 (SET k bread city market) of pipeline caused error: OOM command")
    made = record("celery.worker", "lost (%r)", refusal)
    assert tell_outages_in_words(made)
    assert made.getMessage() == "lost ('has reached its memory limit (maxmemory) and takes no more')"


@pytest.mark.parametrize("name", ["celery.worker.consumer.consumer", "kombu.transport.redis"])
def test_a_trace_of_a_refusal_becomes_words_where_celery_meets_it(name: str) -> None:
    refusal = redis.exceptions.NoPermissionError("NOPERM this user has no permissions to run the 'evalsha' command")
    made = record(name, "will retry", error=refusal)
    assert tell_outages_in_words(made)
    assert made.exc_info is None
    assert "does not permit" in made.getMessage()
    own = record("rerank_worker.batching.scoring_thread", "a fault", error=refusal)
    assert tell_outages_in_words(own)
    assert own.exc_info is not None


def test_an_error_of_the_disk_is_told_as_one() -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    made = record("rerank_worker.engine.packed", "weights not packed error=%r", full)
    assert tell_outages_in_words(made)
    assert made.getMessage() == "weights not packed error=OSError(28, 'No space left on device')"
    made = record("rerank_worker.engine.packed", "weights not packed", error=full)
    assert tell_outages_in_words(made)
    told = logging.Formatter().format(made)
    assert told.startswith("weights not packed\nTraceback")
    assert "redis" not in told


@pytest.mark.parametrize("name", ["celery.worker.consumer.consumer", "kombu.asynchronous.hub"])
def test_a_lost_socket_of_celery_is_an_outage(name: str) -> None:
    made = record(name, "lost", error=ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"))
    assert tell_outages_in_words(made)
    assert logging.Formatter().format(made) == "lost: redis can't be reached: Connection refused"


def test_what_is_said_of_each_job_at_each_try_is_left_out() -> None:
    assert not tell_outages_in_words(record("celery.backends.base", "Failed operation, retrying", error=ERROR))


@pytest.mark.parametrize("error", [ValueError("a bug"), None])
def test_all_else_is_left_alone(error: Exception | None) -> None:
    made = record("celery.backends.base", "Something of %s", "a job", error=error)
    assert tell_outages_in_words(made)
    assert made.getMessage() == "Something of a job"
    assert (made.exc_info is not None) == (error is not None)
