"""The mean deviations from which `weighted` fusion takes its ratio: read with a look-up, taught with a later one.

What the requests of this client taught waits in memory for the next look-up, so that learning costs no round trip.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from rerank_producer._io.clock import Clock
from rerank_producer.fusion.asked import learns_ratio
from rerank_shared.contract import wire
from rerank_shared.contract.digest import identity_digest
from rerank_shared.contract.messages import Deviations, Fusion, ScoringIdentity, cache_tenant
from rerank_shared.contract.schemas import RerankRequest
from rerank_shared.deviations import joined, learn
from rerank_shared.errors import MalformedMessage
from rerank_shared.keys import Keys

REMEMBERED_S = 5.0
#: Callers choose the names of first stages.
_REMEMBERED = 256


@dataclass(slots=True)
class LearnedDeviations:
    """Remembers deviations by their key. Threads may share it."""

    keys: Keys
    clock: Clock
    _known: dict[str, tuple[Deviations | None, float]] = field(default_factory=dict)
    _lessons: dict[str, Deviations] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def key(self, request: RerankRequest, fusion: Fusion | None, identity: ScoringIdentity | None) -> str | None:
        """Return the key of the deviations that a request needs; None where it needs none."""
        if identity is None or fusion is None or not learns_ratio(fusion):
            return None
        tenant = cache_tenant(request.cache_scope, request.tenant) or ""
        return self.keys.deviations(identity_digest(identity), tenant, fusion.first_stage)

    def query(self, key: str | None) -> DeviationsQuery:
        """Return the query for the deviations under a key, and for teaching what waits."""
        if key is None:
            return DeviationsQuery(self)
        known, until = self._known.get(key, (None, -math.inf))
        return DeviationsQuery(self, key, known, self.clock.monotonic() < until, self._taken_lessons())

    def teach(self, key: str, lesson: Deviations) -> None:
        """Keep the lesson of one request for the next look-up."""
        with self._lock:
            if key in self._lessons or len(self._lessons) < _REMEMBERED:
                self._lessons[key] = joined(self._lessons.get(key), lesson)

    def remember(self, key: str, value: bytes | None) -> Deviations | None:
        """Decode what the server answered, remember it, and return it. A value that can't be read counts as none."""
        try:
            known = None if value is None else wire.decode_deviations(value)
        except MalformedMessage:
            known = None
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[key] = known, self.clock.monotonic() + REMEMBERED_S
        return known

    def _taken_lessons(self) -> dict[str, Deviations]:
        with self._lock:
            lessons, self._lessons = self._lessons, {}
        return lessons


@dataclass(frozen=True, slots=True)
class DeviationsQuery:
    """The commands that teach `lessons`, and read the deviations under `key` unless they are `fresh`."""

    learned: LearnedDeviations
    key: str | None = None
    known: Deviations | None = None
    fresh: bool = True
    lessons: Mapping[str, Deviations] = field(default_factory=dict)

    def ask(self, pipe: Any) -> None:
        """Queue the commands on a pipeline."""
        for key, lesson in self.lessons.items():
            learn(pipe, key, lesson)
        if self.key is not None and not self.fresh:
            pipe.get(self.key)

    def read(self, answers: Iterator[Any]) -> Deviations | None:
        """Return the deviations from the answers; None where none are known."""
        for _ in self.lessons:
            next(answers)
        if self.key is None or self.fresh:
            return self.known
        return self.learned.remember(self.key, next(answers))
