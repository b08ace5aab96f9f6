"""Which artefact the fleet serves under a model's name, asked for rarely: the cache key of every pair depends on it.

The server is asked for its time with it. An answer is remembered for some seconds; should the fleet change meanwhile,
the worker's answer names its own artefact, and the flow notices (`scored.agree`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rerank_producer.clock import Clock
from rerank_producer.port import Port
from rerank_shared.fleet import ask_artefact, read_artefact
from rerank_shared.keys import Keys
from rerank_shared.messages import Artefact

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
        known = self._known.get(model)
        if known is not None and self.clock.monotonic() < known[1]:
            return known[0]
        now, asked_at = self.clock.epoch(), self.clock.monotonic()

        def fill(pipe: Any) -> None:
            ask_artefact(pipe, self.keys, model, now)
            pipe.time()

        *values, time = await port.pipeline(fill)
        self.clock.synchronise(time, asked_at)
        artefact = read_artefact(values, model)
        if artefact is not None:
            self._known[model] = (artefact, self.clock.monotonic() + REMEMBERED_S)
        return artefact

    def forget(self, model: str) -> None:
        """Ask again next time."""
        self._known.pop(model, None)
