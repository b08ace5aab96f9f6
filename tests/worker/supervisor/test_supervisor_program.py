"""The supervisor as a program: signals, exit statuses, and what a kill of it leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rerank_shared.settings import Settings, load_settings
from rerank_worker.supervisor.supervisor import EX_CONFIG, EX_KILLED, EX_OK, Supervisor
from support.supervised import (
    PROGRAM,
    Children,
    lives,
    wait_line,
)
from support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("nothing_is_left")


@pytest.fixture
def settings() -> Settings:
    return load_settings(grace_s=20.0, pin=True)


class TestRun:
    @pytest.fixture
    def program(self, children: Children) -> Iterator[Callable[..., subprocess.Popen[str]]]:
        running: list[subprocess.Popen[str]] = []

        def start(mode: str = "good", **environ: str) -> subprocess.Popen[str]:
            process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, *children.command(mode)],
                stdin=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                env=os.environ | environ,
            )
            running.append(process)
            wait_until(lambda: len(children.started()) == 2 or process.poll() is not None, "two children")
            return process

        yield start
        for process in running:
            process.kill()
            process.communicate()

    @pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
    def test_a_signal_drains_all(self, program: Any, children: Children, signum: signal.Signals) -> None:
        process = program()
        process.send_signal(signum)
        _, log = process.communicate(timeout=20)
        assert process.returncode == EX_OK, log
        assert children.noted("drained") == set(children.started())
        assert [line.split(" name=")[0] for line in log.splitlines()] == [
            *["worker started"] * 2,
            "draining workers=2 grace_s=20",
            *["worker ended"] * 2,
        ]

    def test_a_second_signal_kills_at_once(self, program: Any) -> None:
        process = program("stubborn", RERANK_GRACE_S="3600")
        process.send_signal(signal.SIGTERM)
        assert wait_line(process, "draining")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
        assert process.returncode == EX_KILLED

    def test_hang_up_without_a_terminal_replaces_all(self, program: Any, children: Children) -> None:
        process = program()
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: len(children.started()) == 4, "two replacements")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
        assert process.returncode == EX_OK
        assert len(children.noted("drained")) == 4

    def test_a_worker_that_refuses_ends_it_with_78(self, program: Any) -> None:
        process = program("refuse-second")
        process.communicate(timeout=20)
        assert process.returncode == EX_CONFIG

    def test_no_child_outlives_a_killed_supervisor(self, program: Any, children: Children) -> None:
        process = program(TMPDIR=str(children.directory))
        process.kill()
        wait_until(lambda: children.noted("orphaned") == set(children.started()), "both children noticed")
        wait_until(lambda: not any(map(lives, children.started())), "both children ended")

    def test_outside_the_main_thread_it_is_refused(self, settings: Settings, children: Children) -> None:
        errors: list[Exception] = []

        def run() -> None:
            try:
                Supervisor(settings, 1, command=children.command()).run()
            except ValueError as error:
                errors.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        thread.join(20)
        assert len(errors) == 1
