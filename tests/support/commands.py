"""The real `rerank-fleet` command in processes of its own, in the foreground or in the background."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil

from support.waiting import wait_until

BIN = Path(sys.executable).parent
COMMAND = str(BIN / "rerank-fleet")


@dataclass(frozen=True, slots=True)
class CommandLine:
    """Runs `rerank-fleet` under one environment."""

    environ: dict[str, str]

    def run(self, *arguments: str, stdin: str = "", **changes: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [COMMAND, *arguments],
            input=stdin,
            env=self.environ | changes,
            capture_output=True,
            text=True,
            timeout=45,
            check=False,
        )


@dataclass(frozen=True, slots=True)
class Running:
    """A command in the foreground of nothing, its output in a file."""

    process: subprocess.Popen[bytes]
    log: Path

    def wait_for(self, text: str, count: int = 1, *, bound_s: float = 40) -> str:
        """Wait until its output holds `text` so many times, and return the output."""

        def said() -> str:
            output = self.log.read_text()
            assert self.process.poll() is None or output.count(text) >= count, f"ended early: {output}"
            return output if output.count(text) >= count else ""

        return wait_until(said, f"{text!r} in {self.log}", bound_s=bound_s)

    def family(self) -> list[psutil.Process]:
        """Return the process and all that descend from it."""
        own = psutil.Process(self.process.pid)
        return [own, *own.children(recursive=True)]

    def end(self, signum: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, wait, and return the exit status."""
        self.process.send_signal(signum)
        return self.process.wait(timeout=30)


def assert_gone(family: list[psutil.Process]) -> None:
    """Fail unless every process has ended; a zombie that nobody reaps in this container has ended too."""

    def all_gone() -> bool:
        return all(not p.is_running() or p.status() == psutil.STATUS_ZOMBIE for p in family)

    wait_until(all_gone, f"the end of {family}")


@dataclass(frozen=True, slots=True)
class Spawn:
    """Starts commands in the background."""

    environ: dict[str, str]
    logs: Path
    started: list[Running]

    def __call__(self, *command: str, cwd: Path | None = None, **changes: str) -> Running:
        """Start a command, by the name that its environment's PATH gives it."""
        log = self.logs / f"{len(self.started)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [str(BIN / command[0]), *command[1:]],
                env=self.environ | changes | {"PYTHONUNBUFFERED": "1"},
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.started.append(Running(process, log))
        return self.started[-1]
