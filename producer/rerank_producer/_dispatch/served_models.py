"""The scoring identity that the fleet serves under each model's name. The cache key of every pair depends on it.

An identity is remembered for some seconds; then the next look-up reads it again, with the server's time. Should the
fleet change in between, a worker's outcome names its own identity, and the pipeline notices (`merge.agree`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from rerank_producer._io.clock import Clock
from rerank_producer._io.port import Port
from rerank_shared.contract.messages import ScoringIdentity
from rerank_shared.fleet import ask_identity, read_identity
from rerank_shared.keys import Keys

REMEMBERED_S = 5.0


@dataclass(slots=True)
class ServedModels:
    """Remembers scoring identities by model name. Threads may share it."""

    keys: Keys
    clock: Clock
    _known: dict[str, tuple[ScoringIdentity, float]] = field(default_factory=dict)

    async def get(self, port: Port, model: str) -> ScoringIdentity | None:
        """Return the identity of a model; None, which is not remembered, while the fleet has announced no model.

        Raises UnknownModel if the fleet serves other models only, QueueUnavailable if the server is away.
        """
        query = self.query(model)
        if query.fresh:
            return query.known
        return query.read(iter(await port.pipeline(query.ask)))

    def query(self, model: str) -> ServedModelQuery:
        """Return the query for a request for `model`."""
        known, until = self._known.get(model, (None, -math.inf))
        return ServedModelQuery(self, model, known, self.clock.monotonic() < until)

    def learn(self, model: str, identity: ScoringIdentity | None) -> None:
        """Remember what the server answered."""
        if identity is None:
            self.forget(model)
        else:
            self._known[model] = (identity, self.clock.monotonic() + REMEMBERED_S)

    def forget(self, model: str) -> None:
        """Read the identity again before the next request."""
        self._known.pop(model, None)


@dataclass(slots=True)
class ServedModelQuery:
    """The commands that read an identity and the server's time in a shared round trip; none while it is `fresh`.

    `known` is the identity that was read last, None before the first.
    """

    models: ServedModels
    model: str
    known: ScoringIdentity | None
    fresh: bool
    _asked_at: float = 0.0

    def ask(self, pipe: Any) -> None:
        """Queue the commands on a pipeline."""
        if not self.fresh:
            self._asked_at = self.models.clock.monotonic()
            ask_identity(pipe, self.models.keys, self.model, self.models.clock.epoch())
            pipe.time()

    def read(self, answers: Iterator[Any]) -> ScoringIdentity | None:
        """Return the identity from the answers. Raises UnknownModel."""
        if self.fresh:
            return self.known
        values, time = [next(answers), next(answers)], next(answers)
        self.models.clock.synchronise(time, self._asked_at)
        identity = read_identity(values, self.model)
        self.models.learn(self.model, identity)
        return identity
