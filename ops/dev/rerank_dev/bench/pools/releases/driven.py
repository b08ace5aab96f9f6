"""A client program of some release, driven from here, and what came of a plan."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rerank_dev.bench.pools.releases import client
from rerank_dev.bench.pools.workers import environ_of
from rerank_dev.bench.scheduling.load import Query
from rerank_ops.simulate.report import percentile
from rerank_shared.errors import InternalError
from rerank_shared.settings import Settings


@dataclass(frozen=True, slots=True)
class Told:
    """What came of a plan. `failures` are errors, with client and time; `added_ms` is without the model's run."""

    latencies_ms: list[float]
    added_ms: list[float]
    failures: list[str]
    pairs: int
    seconds: float

    @property
    def pairs_per_s(self) -> float:
        """Pairs that the fleet ran, a second."""
        return self.pairs / self.seconds

    @property
    def added_p50_ms(self) -> float:
        """The median of what requests took beside the model's run."""
        return statistics.median(self.added_ms)

    def with_all(self, other: Told) -> Told:
        """Return both together, as of two clients at the same time."""
        return Told(
            self.latencies_ms + other.latencies_ms,
            self.added_ms + other.added_ms,
            self.failures + other.failures,
            self.pairs + other.pairs,
            max(self.seconds, other.seconds),
        )

    def p99_ms(self) -> float:
        """Return the 99th percentile of the answered requests. Raises InternalError where none was."""
        if not self.latencies_ms:
            raise InternalError(f"no request was answered; the first failed by {self.failures[:1]}")
        return percentile(sorted(self.latencies_ms), 0.99)

    def flawless(self) -> Self:
        """Return itself. Raises InternalError where a request failed."""
        if self.failures:
            raise InternalError(f"{len(self.failures)} requests failed, the first by {self.failures[0]}")
        return self


class Client:
    """The process of a client of the checkout at `root`; a context manager. Raises InternalError if it ends early."""

    def __init__(self, settings: Settings, root: Path) -> None:
        self._root = root
        self._process = subprocess.Popen(
            [sys.executable, client.__file__],
            env=environ_of(settings, root),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        runs = Path(str(self._read()["runs"]))
        if not runs.is_relative_to(root):
            self.__exit__()
            raise InternalError(f"the client of {root} runs {runs}")

    def send(self, queries: Sequence[Query], in_flight: int) -> Told:
        """Send all queries once, so many at a time."""
        self._plan(queries, in_flight=in_flight)
        return self._told()

    def begin(self, queries: Sequence[Query], per_s: float) -> None:
        """Begin to send so many a second, until `end()`."""
        self._plan(queries, per_s=per_s)

    def end(self) -> Told:
        """Send no more, and wait for what is open."""
        self._write("")
        return self._told()

    def _told(self) -> Told:
        told = Told(**self._read())
        return replace(told, failures=[f"client of {self._root.name}, {failure}" for failure in told.failures])

    def _plan(self, queries: Sequence[Query], **how: float | None) -> None:
        requests = [{"query": each.text, "documents": each.documents} for each in queries]
        self._write(json.dumps({"requests": requests, "in_flight": None, "per_s": None} | how))

    def _write(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        # Leaving the process closes its pipes, by which it ends, and waits for that.
        self._process.__exit__(None, None, None)

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        if not (line := self._process.stdout.readline()):
            raise InternalError(f"the client program ended with {self._process.wait()}; its last words are above")
        found: dict[str, Any] = json.loads(line)
        return found
