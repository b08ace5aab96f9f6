"""The command `celery -A rerank_fleet`: it reaches the workers of a fleet, and says what is wrong with a setting."""

from __future__ import annotations

import subprocess
import sys

import pytest

from conftest import StartFleet
from rerank_shared.settings import Settings, bare_environ, to_environ

pytestmark = pytest.mark.integration


def celery(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "celery", "-A", "rerank_fleet", *arguments]
    return subprocess.run(
        command, env=bare_environ() | environ, capture_output=True, text=True, timeout=100, check=False
    )


def test_inspect_reaches_the_workers(start_fleet: StartFleet, settings: Settings) -> None:
    start_fleet()
    answered = celery("inspect", "ping", "--timeout", "30", "--destination", "rerank@test-0", **to_environ(settings))
    assert (answered.returncode, "pong" in answered.stdout) == (0, True), answered


def test_a_setting_that_is_wrong_is_told_without_a_traceback() -> None:
    told = celery("inspect", "ping", RERANK_BATCHES="3")
    assert told.returncode == 1
    assert "RERANK_BATCHES" in told.stderr
    assert "Traceback" not in told.stderr
