"""The pools that serve each model's name. The cache keys of a request, and the queue that it goes to, depend on them.

They are remembered for some seconds; then the next look-up reads them again, with the server's time. Should the fleet
change in between, a worker's outcome names its own scoring identity, and the pipeline notices (`merge.agree`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from rerank_producer._io.clock import Clock
from rerank_producer._io.port import Port
from rerank_shared.keys import Keys
from rerank_shared.pools import Pool, PoolQuestions

REMEMBERED_S = 5.0


@dataclass(slots=True)
class ServedModels:
    """Remembers pools by model name. Threads may share it."""

    keys: Keys
    clock: Clock
    _known: dict[str, tuple[tuple[Pool, ...], float]] = field(default_factory=dict)

    async def get(self, port: Port, model: str) -> tuple[Pool, ...]:
        """Return the pools of a model; none, which is not remembered, while the fleet has announced no model.

        Raises UnknownModel if the fleet serves other models only, QueueUnavailable if the server is away.
        """
        return await self.completed(port, self.query(model))

    async def completed(self, port: Port, query: ServedModelQuery) -> tuple[Pool, ...]:
        """Return the pools of a query, asked until its answer is complete; see `get`."""
        while not query.complete:
            query.read(iter(await port.pipeline(query.ask)))
        return query.found

    def query(self, model: str) -> ServedModelQuery:
        """Return the query for a request for `model`."""
        known, until = self._known.get(model, ((), -math.inf))
        return ServedModelQuery(self, model, known, self.clock.monotonic() < until)

    def learn(self, model: str, pools: tuple[Pool, ...]) -> None:
        """Remember what the server answered."""
        if pools:
            self._known[model] = (pools, self.clock.monotonic() + REMEMBERED_S)
        else:
            self.forget(model)

    def forget(self, model: str) -> None:
        """Read the pools again before the next request."""
        self._known.pop(model, None)


@dataclass(slots=True)
class ServedModelQuery:
    """The commands that read the pools and the server's time in a shared round trip; none while they are `fresh`.

    `known` are the pools that were read last, `found` those of this answer. It is asked until it is `complete`.
    """

    models: ServedModels
    model: str
    known: tuple[Pool, ...]
    fresh: bool
    _questions: PoolQuestions = field(init=False)
    found: tuple[Pool, ...] = field(init=False)
    _asked_at: float = 0.0
    _answered: bool = False

    def __post_init__(self) -> None:
        self.found = self.known if self.fresh else ()
        known = tuple(pool.id for pool in self.known if pool.id)
        self._questions = PoolQuestions(self.models.keys, self.model, known)

    @property
    def complete(self) -> bool:
        """Whether the last answer, or what is remembered, suffices to choose: one pool is chosen whatever its size."""
        return self.fresh or (self._answered and (self._questions.complete or len(self.found) == 1))

    def ask(self, pipe: Any) -> None:
        """Queue the commands on a pipeline."""
        if not self.fresh:
            self._asked_at = self.models.clock.monotonic()
            pipe.time()
            self._questions.ask(pipe, self.models.clock.epoch())

    def read(self, answers: Iterator[Any]) -> tuple[Pool, ...]:
        """Return the pools from the answers. Raises UnknownModel."""
        if self.fresh:
            return self.known
        self.models.clock.synchronise(next(answers), self._asked_at)
        self.found, self._answered = self._questions.read(answers), True
        if self.complete:
            self.models.learn(self.model, self.found)
        return self.found


async def count_processes(port: Port, keys: Keys, model: str, now: float) -> int:
    """Return the live processes of all pools of a model at `now` (epoch seconds). Raises as `ServedModels.get`."""
    questions = PoolQuestions(keys, model, (keys.pool,) if keys.pool else ())
    while True:
        pools = questions.read(iter(await port.pipeline(lambda pipe: questions.ask(pipe, now))))
        if questions.complete:
            return sum(pool.processes for pool in pools)
