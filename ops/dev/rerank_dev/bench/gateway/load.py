"""The load: a process of its own that keeps so many requests in flight, and tells what became of each.

Closed loop: a client sends its next request when it has the answer to the last. Its own processor time is told too, so
that nobody takes the limit of the load for that of what is measured.
"""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from typing import Self

from rerank_dev.bench.gateway.connection import Connection, Reply
from rerank_dev.bench.served import pin
from rerank_ops.simulate.report import percentile

#: No plan of the benchmark takes a quarter of it, unless something hangs.
_LONGEST_S = 600.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What to send: each request once, or, with `for_s`, one after the other and over again for so long."""

    url: str
    requests: Sequence[bytes]
    clients: int
    for_s: float | None = None


@dataclass(frozen=True, slots=True)
class Driven:
    """What came of a plan. `failures`: answers that were errors or incomplete, as their status lines and headers.

    `most_open`: requests sent and not yet answered, at the moment when they were most.
    """

    latencies_s: list[float]
    failures: list[str]
    seconds: float
    load_cpu_s: float
    most_open: int

    @property
    def per_s(self) -> float:
        """Requests a second."""
        return len(self.latencies_s) / self.seconds

    def latency_ms(self, share: float) -> float:
        """Return a percentile of the latencies."""
        return 1000 * percentile(sorted(self.latencies_s), share)

    def flawless(self) -> Self:
        """Return itself. Raises AssertionError if an answer was an error or incomplete."""
        if self.failures:
            raise AssertionError(f"{len(self.failures)} of {len(self.latencies_s)} failed, first: {self.failures[0]}")
        return self


class Load:
    """The process that sends; `core` pins it. A context manager."""

    def __init__(self, core: int | None = None) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        self._receive()
        if core is not None and self._process.pid is not None:
            pin(self._process.pid, core)

    def drive(self, plan: Plan) -> Driven:
        """Send a plan's requests and return what came of it. Raises AssertionError if the load itself broke."""
        self.begin(plan)
        return self.end()

    def begin(self, plan: Plan) -> None:
        """Start to send; `end()` waits for what comes of it."""
        self._pipe.send(plan)

    def running(self, wait_s: float) -> bool:
        """Wait a little; returns whether it is still sending."""
        return not self._pipe.poll(wait_s)

    def end(self) -> Driven:
        """Return what came of the plan that was begun."""
        if self.running(_LONGEST_S):
            raise AssertionError(f"requests were still open after {_LONGEST_S:g} s")
        driven = self._receive()
        assert isinstance(driven, Driven), driven
        return driven

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.close()
        self._process.join(timeout=1)
        self._process.kill()
        self._process.join()

    def _receive(self) -> object:
        return self._pipe.recv()


def _serve(pipe: Pipe) -> None:
    pipe.send("ready")
    while True:
        try:
            plan = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send(asyncio.run(_drive(plan)))
        except OSError as error:
            # A server that went away is a finding of the benchmark, told where it was asked for.
            pipe.send(repr(error))


async def _drive(plan: Plan) -> Driven:
    run = _Run(itertools.cycle(plan.requests) if plan.for_s is not None else iter(plan.requests))
    connections = [await Connection.open(plan.url) for _ in range(plan.clients)]
    cpu_s, started = time.process_time(), time.perf_counter()
    give_up = float("inf") if plan.for_s is None else started + plan.for_s
    await asyncio.gather(*(run.client(connection, give_up) for connection in connections))
    seconds, cpu_s = time.perf_counter() - started, time.process_time() - cpu_s
    for connection in connections:
        await connection.__aexit__()
    return Driven(run.latencies_s, run.failures, seconds, cpu_s, run.most_open)


class _Run:
    """What the clients of one plan share."""

    def __init__(self, requests: Iterator[bytes]) -> None:
        self._requests = requests
        self._open = 0
        self.most_open = 0
        self.latencies_s: list[float] = []
        self.failures: list[str] = []

    async def client(self, connection: Connection, give_up: float) -> None:
        """Send one request after the other."""
        for request in self._requests:
            sent = time.perf_counter()
            if sent >= give_up:
                return
            self._open += 1
            self.most_open = max(self.most_open, self._open)
            reply = await connection.ask(request)
            self._open -= 1
            self.latencies_s.append(time.perf_counter() - sent)
            if _failed(reply):
                self.failures.append(f"{reply.status} {reply.head.decode(errors='replace')} {reply.body[:200]!r}")


def _failed(reply: Reply) -> bool:
    return reply.status != 200 or reply.header("x-rerank-complete") == "false"
