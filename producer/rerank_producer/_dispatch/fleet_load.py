"""What a client knows of the fleet before it sends: how many processes are idle, what waits, and what running costs.

How many processes live and how many jobs are unanswered is asked for each request, in a round trip that asks for other
things too. What waits before whom, which is long where much waits, is read only where nobody is idle, and remembered
for a moment.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from rerank_producer._io.clock import Clock
from rerank_producer._io.port import Port
from rerank_shared.fleet import read_costs, typical
from rerank_shared.keys import JOB_CLASSES, JobClass, Keys
from rerank_shared.queue.backlog import Entry, ask_entries, read_entries, total
from rerank_shared.scheduling.cost import CostParameters, Work

REMEMBERED_S = 0.25
_MODELS = 64


@dataclass(frozen=True, slots=True)
class Prospects:
    """The fleet as a request meets it. `unanswered` jobs keep one process each busy, as far as there are processes."""

    workers: int = 0
    unanswered: int = 0
    cost: CostParameters | None = None
    entries: tuple[Entry, ...] = ()

    @property
    def idle(self) -> int:
        """Processes that have nothing to do."""
        return max(0, self.workers - self.unanswered)

    def run_s(self, work: Work) -> float:
        """Return how long one process runs `work`; 0 if nobody knows."""
        return 0.0 if self.cost is None else self.cost.predict_s(work)

    def wait_s(self, job_class: JobClass, due_at: float) -> float:
        """Return how long a job of that class and urgency (epoch seconds) waits for its first run; 0 if nobody knows.

        With no process alive nobody does: one may be about to start.
        """
        if self.cost is None or self.workers == 0 or self.idle > 0:
            return 0.0
        ahead = total(entry for entry in self.entries if entry.precedes(job_class, due_at))
        return self.cost.predict_s(ahead) / self.workers


@dataclass(slots=True)
class FleetBook:
    """Asks for prospects, and remembers what is long; threads may share it."""

    keys: Keys
    clock: Clock
    _costs: dict[str, tuple[CostParameters | None, float]] = field(default_factory=dict)
    _entries: tuple[tuple[Entry, ...], float] = ((), -math.inf)

    async def get(self, port: Port, model: str) -> Prospects:
        """Return the prospects of a request for `model`. Raises QueueUnavailable."""
        question = self.question(model)
        return await self.whole(port, question.read(iter(await port.pipeline(question.ask))))

    def question(self, model: str) -> LoadQuestion:
        """Return what is to be asked for a request for `model`."""
        cost, until = self._costs.get(model, (None, -math.inf))
        return LoadQuestion(self, model, cost, self.clock.monotonic() < until)

    async def whole(self, port: Port, seen: Prospects) -> Prospects:
        """Return prospects with what waits before a request, which is nothing where somebody is idle. Raises
        QueueUnavailable."""
        if seen.idle > 0 or seen.unanswered == 0:
            return seen
        entries, until = self._entries
        # What was remembered of a fleet that was idle is worth nothing once it is busy.
        if self.clock.monotonic() >= until or seen.unanswered > 2 * len(entries):
            now = self.clock.epoch()
            entries = tuple(read_entries(await port.pipeline(lambda pipe: ask_entries(pipe, self.keys, now))))
            self._entries = entries, self.clock.monotonic() + REMEMBERED_S
        return replace(seen, entries=entries)

    def learn(self, model: str, costs: Any) -> CostParameters | None:
        """Remember what running costs, as the server answered it."""
        cost = typical(read_costs(costs))
        if len(self._costs) >= _MODELS:
            # Names are the callers' to choose, until workers have announced theirs.
            self._costs.clear()
        self._costs[model] = cost, self.clock.monotonic() + REMEMBERED_S
        return cost

    async def free(self, port: Port) -> int:
        """Return how many more processes live than jobs are unanswered, now. Raises QueueUnavailable."""
        workers, *unanswered = await port.pipeline(lambda pipe: ask_load(pipe, self.keys, self.clock.epoch()))
        free: int = workers - sum(unanswered)
        return free


@dataclass(frozen=True, slots=True)
class LoadQuestion:
    """What is asked of the fleet beside other things: its load, and its cost unless that is `fresh`."""

    book: FleetBook
    model: str
    cost: CostParameters | None
    fresh: bool

    def ask(self, pipe: Any) -> None:
        """Queue it on a pipeline."""
        ask_load(pipe, self.book.keys, self.book.clock.epoch())
        if not self.fresh:
            pipe.hgetall(self.book.keys.cost(self.model))

    def read(self, answers: Iterator[Any]) -> Prospects:
        """Take its answers; `entries` are not among them, see FleetBook.whole."""
        workers, unanswered = next(answers), sum(next(answers) for _ in JOB_CLASSES)
        cost = self.cost if self.fresh else self.book.learn(self.model, next(answers))
        return Prospects(workers, unanswered, cost)


def told_alive(workers: int) -> str:
    """Return how many worker processes are alive as a clause, for messages to users."""
    return "one worker process is alive" if workers == 1 else f"{workers} worker processes are alive"


def ask_load(pipe: Any, keys: Keys, now: float) -> None:
    """Queue on a pipeline: the processes alive, and the unanswered jobs of each class."""
    pipe.zcount(keys.workers, now, "+inf")
    for job_class in JOB_CLASSES:
        pipe.zcount(keys.ledger(job_class), now, "+inf")
