"""`rerank-fleet` as process 1 of a container: no signal to stop is lost."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from rerank_dev.ports import free_port
from support.commands import COMMAND
from support.waiting import wait_until

#: Runs a command as process 1 of processes of its own; `unshare` ends with its exit status.
ALONE = ("unshare", "--pid", "--fork", "--kill-child")


@pytest.fixture(scope="module")
def alone() -> tuple[str, ...]:
    """How process 1 is had here: as root, or by a user namespace where the kernel grants one."""
    for command in (ALONE, (*ALONE, "--user", "--map-root-user")):
        if (
            shutil.which("unshare")
            and subprocess.run([*command, "true"], check=False, capture_output=True).returncode == 0
        ):
            return command
    pytest.skip("neither root nor a user namespace: nothing can be process 1 here")


@pytest.fixture
def first(alone: tuple[str, ...], tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """Start `rerank-fleet worker` as process 1, for a server that is not there."""
    output = tmp_path / "output"
    environ = os.environ | {"RERANK_REDIS_URL": f"redis://127.0.0.1:{free_port()}/0", "PYTHONUNBUFFERED": "1"}
    with output.open("wb") as file:
        process = subprocess.Popen([*alone, COMMAND, "worker"], env=environ, stdout=file, stderr=file)
    yield process, output
    process.kill()
    process.wait()


def catches(pid: int, signum: signal.Signals) -> bool:
    """Whether the process has a handler for the signal."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    (mask,) = (int(line.split()[1], 16) for line in lines if line.startswith("SigCgt"))
    return bool(mask >> (signum - 1) & 1)


def test_a_stop_in_the_first_moments_ends_it(first: tuple[subprocess.Popen[bytes], Path]) -> None:
    """A platform that got no answer would wait for its whole grace, and then kill a worker that has taken jobs."""
    process, output = first
    inner = wait_until(lambda: psutil.Process(process.pid).children(), "process 1")[0]
    wait_until(lambda: inner.name() != "unshare" and catches(inner.pid, signal.SIGTERM), "a handler")
    inner.terminate()
    assert process.wait(timeout=60) == 128 + signal.SIGTERM
    assert "settings" not in output.read_text(), "the command was up already, and drained"
