"""Coroutines of commands: a signal ends them in their own order, with the exit status of the signal."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from rerank_ops.signals import run_stoppable


async def told_by(signum: signal.Signals, ended: list[str]) -> None:
    """Send this process a signal, where a Python handler's exception would be lost; lose its first cancellation."""

    class Dropped:
        def __del__(self) -> None:
            os.kill(os.getpid(), signum)
            sum(range(1000))

    Dropped()
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        ended.append("lost")
    try:
        await asyncio.sleep(60)
    finally:
        ended.append("ended")


def test_results_are_returned_and_handlers_left_as_they_were() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    assert run_stoppable(asyncio.sleep(0, "a result")) == "a result"
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_ctrl_c_ends_the_work() -> None:
    ended: list[str] = []
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            run_stoppable(told_by(signal.SIGINT, ended))
    finally:
        signal.signal(signal.SIGINT, before)
    assert ended == ["lost", "ended"]


def test_sigterm_ends_the_work_with_its_status() -> None:
    ended: list[str] = []
    with pytest.raises(SystemExit) as exit_of:
        run_stoppable(told_by(signal.SIGTERM, ended))
    assert (exit_of.value.code, ended) == (143, ["lost", "ended"])


def test_a_coroutine_that_cancels_itself_is_no_signal() -> None:
    async def cancels_itself() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        run_stoppable(cancels_itself())
