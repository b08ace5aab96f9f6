"""Which artefact the fleet serves under a model's name, asked for rarely: the cache key of every pair depends on it.

The server is asked for its time with it. An answer is remembered for some seconds, and then asked for again beside the
look-up that it is needed for. Should the fleet change meanwhile, the worker's answer names its own artefact, and the
flow notices (`scored.agree`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from rerank_producer._io.clock import Clock
from rerank_producer._io.port import Port
from rerank_shared.contract.messages import Artefact
from rerank_shared.fleet import ask_artefact, read_artefact
from rerank_shared.keys import Keys

REMEMBERED_S = 5.0


@dataclass(slots=True)
class ArtefactBook:
    """Remembers artefacts by model; threads may share it."""

    keys: Keys
    clock: Clock
    _known: dict[str, tuple[Artefact, float]] = field(default_factory=dict)

    async def get(self, port: Port, model: str) -> Artefact | None:
        """Return the artefact of a model; None, which is not remembered, if the fleet has announced nothing at all.

        Raises UnknownModel if it serves others only, QueueUnavailable if it can't be asked.
        """
        question = self.question(model)
        if question.fresh:
            return question.known
        return question.read(iter(await port.pipeline(question.ask)))

    def question(self, model: str) -> ArtefactQuestion:
        """Return what is to be asked for a request for `model`."""
        known, until = self._known.get(model, (None, -math.inf))
        return ArtefactQuestion(self, model, known, self.clock.monotonic() < until)

    def learn(self, model: str, artefact: Artefact | None) -> None:
        """Remember what the server answered."""
        if artefact is None:
            self.forget(model)
        else:
            self._known[model] = (artefact, self.clock.monotonic() + REMEMBERED_S)

    def forget(self, model: str) -> None:
        """Ask again next time."""
        self._known.pop(model, None)


@dataclass(slots=True)
class ArtefactQuestion:
    """What is asked beside other things, in one round trip, unless it is `fresh`: what the fleet serves, and the time.

    `known` is what it served when it was last asked, None if it never was.
    """

    book: ArtefactBook
    model: str
    known: Artefact | None
    fresh: bool
    _asked_at: float = 0.0

    def ask(self, pipe: Any) -> None:
        """Queue it on a pipeline."""
        if not self.fresh:
            self._asked_at = self.book.clock.monotonic()
            ask_artefact(pipe, self.book.keys, self.model, self.book.clock.epoch())
            pipe.time()

    def read(self, answers: Iterator[Any]) -> Artefact | None:
        """Take its answers, and return the artefact. Raises UnknownModel."""
        if self.fresh:
            return self.known
        values, time = [next(answers), next(answers)], next(answers)
        self.book.clock.synchronise(time, self._asked_at)
        artefact = read_artefact(values, self.model)
        self.book.learn(self.model, artefact)
        return artefact
