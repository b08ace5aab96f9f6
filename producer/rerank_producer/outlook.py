"""What a client knows of the fleet before it sends: how many processes are idle, what waits, and what running costs.

How many processes live and how many jobs are unanswered is asked for each request, in one round trip; what waits before
whom, which is long where much waits, is remembered for a moment.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rerank_producer.clock import Clock
from rerank_producer.port import Port
from rerank_shared.fleet import read_costs, typical
from rerank_shared.keys import JOB_CLASSES, JobClass, Keys
from rerank_shared.ledger import Entry, ask_entries, read_entries, total
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
    _known: dict[str, tuple[CostParameters | None, tuple[Entry, ...], float]] = field(default_factory=dict)

    async def get(self, port: Port, model: str) -> Prospects:
        """Return the prospects of a request for `model`. Raises QueueUnavailable."""
        known = self._known.get(model)
        if known is not None and self.clock.monotonic() < known[2]:
            workers, *counts = await port.pipeline(lambda pipe: ask_load(pipe, self.keys, self.clock.epoch()))
            # What was remembered of a fleet that was idle is worth nothing once it is busy.
            if sum(counts) <= 2 * len(known[1]):
                return Prospects(workers, sum(counts), known[0], known[1])
        return await self._read(port, model)

    async def _read(self, port: Port, model: str) -> Prospects:
        now = self.clock.epoch()

        def fill(pipe: Any) -> None:
            ask_load(pipe, self.keys, now)
            pipe.hgetall(self.keys.cost(model))
            ask_entries(pipe, self.keys, now)

        workers, *answers = await port.pipeline(fill)
        counts, (costs, *told) = answers[: len(JOB_CLASSES)], answers[len(JOB_CLASSES) :]
        cost, entries = typical(read_costs(costs)), tuple(read_entries(told))
        if len(self._known) >= _MODELS:
            # Names are the callers' to choose, until workers have announced theirs.
            self._known.clear()
        self._known[model] = cost, entries, self.clock.monotonic() + REMEMBERED_S
        return Prospects(workers, sum(counts), cost, entries)

    async def free(self, port: Port) -> int:
        """Return how many more processes live than jobs are unanswered, now. Raises QueueUnavailable."""
        workers, *unanswered = await port.pipeline(lambda pipe: ask_load(pipe, self.keys, self.clock.epoch()))
        free: int = workers - sum(unanswered)
        return free


def told_alive(workers: int) -> str:
    """Return how many worker processes are alive as a clause, for messages to users."""
    return "one worker process is alive" if workers == 1 else f"{workers} worker processes are alive"


def ask_load(pipe: Any, keys: Keys, now: float) -> None:
    """Queue on a pipeline: the processes alive, and the unanswered jobs of each class."""
    pipe.zcount(keys.workers, now, "+inf")
    for job_class in JOB_CLASSES:
        pipe.zcount(keys.ledger(job_class), now, "+inf")
