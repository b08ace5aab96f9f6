"""A supervisor whose workers are forked, as a program: signals, its sudden end, and where it inherits orphans."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from rerank_shared.settings import load_settings
from rerank_worker.supervisor.forkserver_client import can_fork
from rerank_worker.supervisor.supervisor import EX_OK
from support.supervised import Children, lives
from support.waiting import wait_until

pytestmark = pytest.mark.skipif(not can_fork(load_settings()), reason="processes are forked on Linux only")

# PR_SET_CHILD_SUBREAPER makes it what process 1 of a container is: the heir of a fork server's children.
PROGRAM = """
import ctypes, logging, sys
from rerank_shared.settings import load_settings
from rerank_worker.supervisor.supervisor import Supervisor
from support.supervised import QUICK, Children
from pathlib import Path
directory, mode, inherits = sys.argv[1:]
if inherits == "inherits":
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
logging.basicConfig(level="INFO", stream=sys.stderr, format="%(message)s")
children = Children(Path(directory))
sys.exit(
    Supervisor(
        load_settings(), 2, command=children.command(), forkserver_command=children.forkserver(mode), policy=QUICK
    ).run()
)
"""


@pytest.fixture
def children(tmp_path: Path) -> Children:
    return Children(tmp_path)


@pytest.fixture
def program(children: Children) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    running: list[subprocess.Popen[str]] = []

    def start(inherits: str = "", mode: str = "good") -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(children.directory), mode, inherits],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(children.directory)},
        )
        running.append(process)
        wait_until(lambda: len(children.started()) == 2 or process.poll() is not None, "two children")
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


def test_a_signal_drains_all(program: Any, children: Children) -> None:
    process = program()
    process.send_signal(signal.SIGTERM)
    _, log = process.communicate(timeout=20)
    assert process.returncode == EX_OK, log
    assert children.noted("drained") == set(children.started())
    assert sorted(line.split(" name=")[0].split(" pid=")[0] for line in log.splitlines()) == [
        "draining workers=2 grace_s=20",
        "fork server started",
        *["worker ended"] * 2,
        *["worker started"] * 2,
    ]


@pytest.mark.parametrize("mode", ["good", "stubborn"])
def test_nothing_outlives_a_killed_supervisor(program: Any, children: Children, mode: str) -> None:
    process = program(mode=mode)
    (forkserver,) = children.noted("forkserver")
    process.kill()
    wait_until(lambda: children.noted("orphaned") == set(children.started()), "both children noticed")
    wait_until(lambda: not any(map(lives, [*children.started(), forkserver])), "all ended")


def test_where_the_supervisor_inherits_orphans_it_reaps_them_and_knows_their_status(
    program: Any, children: Children
) -> None:
    process = program("inherits")
    (forkserver,) = children.noted("forkserver")
    os.kill(forkserver, signal.SIGKILL)
    before = children.started()
    victim = min(before)
    wait_until(lambda: psutil.Process(victim).ppid() == process.pid, "it is inherited")
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: len(children.started()) == 3, "a replacement")
    wait_until(lambda: not psutil.pid_exists(victim), "no zombie is left")
    process.send_signal(signal.SIGTERM)
    _, log = process.communicate(timeout=20)
    assert process.returncode == EX_OK
    assert f"pid={victim} code=-9 " in log
    # The other orphan drained.
    assert f"pid={max(before)} code=0 " in log
