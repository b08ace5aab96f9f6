"""What a worker's log makes of records that hold an exception of redis-py: words, one line, and no document."""

from __future__ import annotations

import logging
import sys

import pytest
import redis

from rerank_worker.outage_log import tell_outages_in_words

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


def test_what_is_said_of_each_job_at_each_try_is_left_out() -> None:
    assert not tell_outages_in_words(record("celery.backends.base", "Failed operation, retrying", error=ERROR))


@pytest.mark.parametrize("error", [ValueError("a bug"), None])
def test_all_else_is_left_alone(error: Exception | None) -> None:
    made = record("celery.backends.base", "Something of %s", "a job", error=error)
    assert tell_outages_in_words(made)
    assert made.getMessage() == "Something of a job"
    assert (made.exc_info is not None) == (error is not None)
