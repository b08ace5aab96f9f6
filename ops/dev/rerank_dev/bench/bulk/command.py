"""The command `rerank-fleet bulk` as a process: timed, killed, and its memory watched."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from rerank_producer.bulk.committed.journal import Journal, journal_of
from rerank_shared.settings import Settings, bare_environ, to_environ

_PROGRAM = "from rerank_ops.cli import main; main()"
_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Finished:
    """A command that has done all: its wall time, its start-up included, and the summary that it printed."""

    wall_s: float
    summary: dict[str, Any]
    peak_mb: float

    @property
    def pairs_per_s(self) -> float:
        """Pairs a second, without the start of the interpreter, as the engine's loop is timed without its own."""
        return float(self.summary["pairs"] / self.summary["seconds"])


class BulkCommand:
    """A running command. Raises RuntimeError with what it said where it ends badly."""

    def __init__(self, settings: Settings, source: Path, output: Path, *options: str) -> None:
        self.output, self._log, self._summary = output, output.with_suffix(".log"), output.with_suffix(".summary")
        command = [sys.executable, "-c", _PROGRAM, "bulk", str(source), str(output), "--format", "jsonl", "--json"]
        self._started = time.perf_counter()
        self.peak_mb = 0.0
        with self._log.open("wb") as log, self._summary.open("wb") as summary:
            environ = bare_environ() | to_environ(settings)
            self._process = subprocess.Popen([*command, *options], env=environ, stdout=summary, stderr=log)

    @property
    def seconds(self) -> float:
        """Seconds since it was started."""
        return time.perf_counter() - self._started

    def rows(self) -> int:
        """Return the rows of the input that are committed."""
        try:
            journal = Journal.look_into(journal_of(self.output))
        except FileNotFoundError:
            return 0
        try:
            last = journal.last()
        finally:
            journal.close()
        return last.end_row if last else 0

    def wait_for(self, rows: int) -> float:
        """Return the seconds until so many rows are committed; memory is watched meanwhile."""
        while True:
            runs = self._watch()
            if self.rows() >= rows:
                return self.seconds
            if not runs:
                raise RuntimeError(f"it ended with {self._process.returncode}: {self._log.read_text()}")
            time.sleep(_POLL_S)

    def finish(self) -> Finished:
        """Wait until it has done all."""
        while self._watch():
            time.sleep(_POLL_S)
        wall_s = self.seconds
        if self._process.returncode:
            raise RuntimeError(f"it ended with {self._process.returncode}: {self._log.read_text()}")
        return Finished(wall_s, json.loads(self._summary.read_text()), self.peak_mb)

    def kill(self) -> float:
        """Kill it by SIGKILL and return the seconds for which it ran."""
        self._process.kill()
        self._process.wait()
        return self.seconds

    def _watch(self) -> bool:
        """Note the most memory so far; return whether it runs."""
        with suppress(psutil.NoSuchProcess):
            self.peak_mb = max(self.peak_mb, psutil.Process(self._process.pid).memory_info().rss / 1e6)
        return self._process.poll() is None


def run_to_end(settings: Settings, source: Path, output: Path, *options: str) -> Finished:
    """Run the command to its end."""
    return BulkCommand(settings, source, output, *options).finish()
