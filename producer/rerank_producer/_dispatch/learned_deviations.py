"""The mean deviations from which `weighted` fusion takes its ratio: read with a look-up, taught with a later one.

What the requests of this client taught waits in memory for the next look-up that reads some, or for the client's end,
so that learning costs no round trip.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from rerank_producer._io.clock import Clock
from rerank_producer._io.per_process import PerProcess
from rerank_producer._request.ranking import Ranking
from rerank_producer.fusion.asked import learns_ratio
from rerank_shared.contract import wire
from rerank_shared.contract.digest import identity_digest
from rerank_shared.contract.messages import Deviations, Fusion, ScoringIdentity, cache_tenant
from rerank_shared.contract.schemas import RerankRequest
from rerank_shared.deviations import TRUSTED_REQUESTS, joined, learn
from rerank_shared.errors import MalformedMessage
from rerank_shared.keys import Keys

REMEMBERED_S = 5.0
#: Callers choose the names of first stages.
_REMEMBERED = 256
#: Lessons that wait at most; of more the oldest are dropped.
_WAITING = 1_024


@dataclass(slots=True)
class LearnedDeviations:
    """Remembers deviations by their key. Threads may share it."""

    keys: Keys
    clock: Clock
    _known: dict[str, tuple[Deviations, float]] = field(default_factory=dict)
    # A deque's own operations are atomic: a lock that another thread held during a fork would stay held in the child.
    _lessons: PerProcess[deque[tuple[str, Deviations]]] = field(
        default_factory=lambda: PerProcess(lambda: deque(maxlen=_WAITING))
    )

    def key(self, request: RerankRequest, fusion: Fusion | None, identity: ScoringIdentity | None) -> str:
        """Return the key of the deviations that a request needs; '' where it needs none."""
        if identity is None or fusion is None or not learns_ratio(fusion):
            return ""
        tenant = cache_tenant(request.cache_scope, request.tenant)
        return self.keys.deviations(identity_digest(identity), tenant, fusion.first_stage)

    def query(self, key: str) -> DeviationsQuery:
        """Return the query for the deviations under a key, and for teaching what waits."""
        if not key:
            return DeviationsQuery(self)
        known, until = self._known.get(key, (None, -math.inf))
        return DeviationsQuery(self, key, known, self.clock.monotonic() < until, self.taken_lessons())

    def teach(self, ranking: Ranking) -> None:
        """Keep what one request taught, if anything, for the next look-up."""
        key = "" if ranking.fusion is None else ranking.fusion.learned_under
        if key and ranking.fused is not None and ranking.fused.deviations is not None:
            self._lessons.get().append((key, ranking.fused.deviations))

    def remember(self, key: str, value: bytes | None) -> Deviations | None:
        """Decode what the server answered, and return it. It is remembered once orders rest on it.

        A value that can't be read counts as none.
        """
        try:
            known = None if value is None else wire.decode_deviations(value)
        except MalformedMessage:
            known = None
        if known is not None and known.requests >= TRUSTED_REQUESTS:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[key] = known, self.clock.monotonic() + REMEMBERED_S
        return known

    def taken_lessons(self) -> dict[str, Deviations]:
        """Return the lessons that wait, joined by key, and forget them."""
        waiting, lessons = self._lessons.get(), dict[str, Deviations]()
        while True:
            try:
                key, lesson = waiting.popleft()
            except IndexError:
                return lessons
            lessons[key] = joined(lessons.get(key), lesson)


@dataclass(frozen=True, slots=True)
class DeviationsQuery:
    """The commands that teach `lessons`, and read the deviations under `key` unless they are `fresh`."""

    learned: LearnedDeviations
    key: str = ""
    known: Deviations | None = None
    fresh: bool = True
    lessons: Mapping[str, Deviations] = field(default_factory=dict)

    def ask(self, pipe: Any) -> None:
        """Queue the commands on a pipeline."""
        teach_all(pipe, self.lessons)
        if self.key and not self.fresh:
            pipe.get(self.key)

    def read(self, answers: Iterator[Any]) -> Deviations | None:
        """Return the deviations from the answers; None where none are known."""
        for _ in self.lessons:
            next(answers)
        if not self.key or self.fresh:
            return self.known
        return self.learned.remember(self.key, next(answers))


def teach_all(pipe: Any, lessons: Mapping[str, Deviations]) -> None:
    """Queue lessons on a pipeline, each for its key."""
    for key, lesson in lessons.items():
        learn(pipe, key, lesson)
