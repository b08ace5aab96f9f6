"""Sleeps that threads and signals end, and what is left of the signals' handlers afterwards."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from rerank_worker.supervisor.wakeup import Wakeup, caught_signals


@pytest.fixture
def wakeup() -> Iterator[Wakeup]:
    made = Wakeup()
    yield made
    made.close()


def test_woken_before_it_sleeps_it_does_not_sleep(wakeup: Wakeup) -> None:
    wakeup.wake()
    wakeup.sleep(None)


def test_many_wakes_end_one_sleep(wakeup: Wakeup) -> None:
    for _ in range(10_000):  # more than the buffer holds
        wakeup.wake()
    wakeup.sleep(None)
    thread = threading.Thread(target=wakeup.sleep, args=(None,), daemon=True)
    thread.start()
    thread.join(0.05)  # that it sleeps can only be seen by waiting
    assert thread.is_alive()
    wakeup.wake()
    thread.join(20)
    assert not thread.is_alive()


def test_without_a_wake_it_returns_after_its_time(wakeup: Wakeup) -> None:
    wakeup.sleep(0.0)
    wakeup.sleep(0.01)


def test_after_close_a_wake_is_harmless(wakeup: Wakeup) -> None:
    wakeup.close()
    wakeup.wake()


def test_a_signal_ends_a_sleep_and_reaches_the_handler(wakeup: Wakeup) -> None:
    seen: list[int] = []
    with caught_signals(lambda signum, _frame: seen.append(signum), wakeup):
        for signum in (signal.SIGTERM, signal.SIGHUP):
            os.kill(os.getpid(), signum)
            wakeup.sleep(None)
    assert seen == [signal.SIGTERM, signal.SIGHUP]


def test_afterwards_the_handlers_are_those_of_before(wakeup: Wakeup) -> None:
    caught = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = [signal.getsignal(signum) for signum in caught]
    with caught_signals(lambda *_: None, wakeup):
        assert signal.getsignal(signal.SIGTERM) not in before
    assert [signal.getsignal(signum) for signum in caught] == before
    assert signal.set_wakeup_fd(-1) == -1


def test_a_signal_that_was_ignored_stays_ignored(wakeup: Wakeup) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with caught_signals(lambda *_: None, wakeup):
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
