"""Who is told what: each waiter once, nobody by mistake, and garbage changes nothing."""

from __future__ import annotations

import logging
import threading
from typing import Any

import msgpack
import pytest

from producer.echo_worker import identity_of, score
from rerank_producer._io.pending import Pending, Waiter
from rerank_shared.contract import wire
from rerank_shared.contract.messages import Outcome
from rerank_shared.errors import JobRevoked, RerankError, ScoringFailed
from rerank_shared.settings import load_settings


def record(job_id: str, status: str = "SUCCESS", result: Any = None) -> bytes:
    """Return a job's record as the result backend writes it."""
    if status == "SUCCESS":
        outcome = Outcome(job_id, (score("q", "d"),), identity_of(load_settings()), "worker")
        result = wire.outcome_to_plain(outcome)
    packed: bytes = msgpack.packb({"task_id": job_id, "status": status, "result": result})
    return packed


def failed(job_id: str, error: RerankError) -> bytes:
    """Return the record of a job that failed, as Celery writes one."""
    return record(job_id, "FAILURE", {"exc_type": type(error).__name__, "exc_message": list(error.args)})


def waiting(pending: Pending, job_id: str, channel: str | None = None) -> Waiter:
    waiter = Waiter(job_id, threading.Event(), channel)
    pending.add(waiter)
    return waiter


def test_outcome_reaches_all_who_wait_for_its_job_and_nobody_else() -> None:
    pending = Pending()
    first, second, other = waiting(pending, "a"), waiting(pending, "a"), waiting(pending, "b")
    pending.deliver(record("a"))
    for waiter in (first, second):
        assert isinstance(waiter.answer, Outcome)
        assert waiter.signal.is_set()
    assert other.answer is None
    assert not other.signal.is_set()


def test_errors_are_answers() -> None:
    pending = Pending()
    failed, revoked = waiting(pending, "a"), waiting(pending, "b")
    pending.deliver(record("a", "FAILURE", {"exc_type": "ScoringFailed", "exc_message": ["no"]}))
    pending.deliver(record("b", "REVOKED"))
    assert isinstance(failed.answer, ScoringFailed)
    assert isinstance(revoked.answer, JobRevoked)


def test_first_answer_stays() -> None:
    pending = Pending()
    waiter = waiting(pending, "a")
    pending.deliver(record("a"))
    pending.deliver(record("a", "REVOKED"))
    assert isinstance(waiter.answer, Outcome)


@pytest.mark.parametrize("data", [b"", b"\xc1", b"hello", msgpack.packb([1]), msgpack.packb({"status": "SUCCESS"})])
def test_garbage_is_logged_and_ignored(data: bytes, caplog: pytest.LogCaptureFixture) -> None:
    pending = Pending()
    waiter = waiting(pending, "a")
    with caplog.at_level(logging.WARNING):
        pending.deliver(data)
    assert "reply ignored" in caplog.text
    assert waiter.answer is None
    pending.deliver(record("a"))
    assert waiter.answer is not None


def test_unknown_jobs_are_ignored() -> None:
    pending = Pending()
    pending.deliver(record("nobody's"))
    assert len(pending) == 0


def test_forgotten_waiters_leave_nothing_behind() -> None:
    pending = Pending()
    first, second = waiting(pending, "a", "channel"), waiting(pending, "a", "channel")
    before = pending.revision
    pending.remove(first)
    assert pending.channels() == {"channel"}
    pending.remove(second)
    pending.remove(second)
    assert (len(pending), pending.channels()) == (0, set())
    assert pending.revision > before


def test_only_those_on_a_channel_hear_that_it_is_heard() -> None:
    pending = Pending()
    first, second = waiting(pending, "a", "one"), waiting(pending, "b", "two")
    pending.subscribed("one")
    assert (first.subscribed, second.subscribed) == (True, False)


def test_everybody_hears_that_the_line_is_back() -> None:
    pending = Pending()
    waiters = [waiting(pending, "a"), waiting(pending, "b", "channel")]
    pending.reconnected()
    assert all(waiter.reconnected and waiter.signal.is_set() for waiter in waiters)
