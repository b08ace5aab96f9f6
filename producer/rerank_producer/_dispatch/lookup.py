"""The one round trip before anything is sent: what the cache holds of a request, what the fleet has to do, and which of
the pairs somebody else has in flight.

Where the fleet's artefact was never asked for, or is another one than it was, that takes one more: the names of cached
scores depend on it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rerank_producer import metrics
from rerank_producer._dispatch.fleet_load import FleetBook, Prospects
from rerank_producer._dispatch.served_models import ArtefactBook
from rerank_producer._io.port import Port
from rerank_producer._request.plan import check_tokenizer, effective_max_length
from rerank_shared.contract.digest import pair_digests
from rerank_shared.contract.messages import Artefact, Score, cache_tenant
from rerank_shared.contract.schemas import RerankRequest
from rerank_shared.errors import QueueUnavailable
from rerank_shared.keys import Keys
from rerank_shared.settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sight:
    """What was seen. `digests` and `scores` None: there was nothing to look up; `prospects` None: nobody answered;
    `flights` are the claims on all pairs, if they were asked for."""

    artefact: Artefact | None
    max_length: int | None
    digests: list[bytes] | None = None
    scores: list[Score | None] | None = None
    prospects: Prospects | None = None
    flights: Sequence[bytes | None] = ()


@dataclass(slots=True)
class Looking:
    """Looks for the requests of one client. Threads and event loops may share it."""

    settings: Settings
    keys: Keys
    artefacts: ArtefactBook
    fleet: FleetBook

    async def look(self, port: Port, request: RerankRequest, model: str) -> Sight:
        """Return what there is to see for a request. Raises UnknownModel, InvalidRequest.

        A cache that can't be read is a miss. If the server is really away, sending will say so.
        """
        if not request.documents:
            return Sight(None, request.max_length)
        try:
            artefact = self.artefacts.question(model).known or await self.artefacts.get(port, model)
            sight = await self._look(port, request, model, artefact)
            if sight.artefact != artefact:
                sight = await self._look(port, request, model, sight.artefact)
        except QueueUnavailable as error:
            log.debug("look-up failed error=%r", error)
            artefact = self.artefacts.question(model).known
            return Sight(artefact, effective_max_length(request, self.settings, artefact))
        if sight.scores is not None:
            misses = sight.scores.count(None)
            metrics.observe_lookup(len(sight.scores) - misses, misses)
        return sight

    async def _look(self, port: Port, request: RerankRequest, model: str, artefact: Artefact | None) -> Sight:
        check_tokenizer(request, artefact)
        max_length = effective_max_length(request, self.settings, artefact)
        digests = None
        if artefact is not None and max_length is not None and self.settings.cache:
            digests = pair_digests(
                artefact,
                max_length,
                request.query,
                request.contents(),
                cache_tenant=cache_tenant(request.cache_scope, request.tenant),
            )
        flights = [self.keys.flight(digest) for digest in digests or ()] if self.settings.single_flight else []
        served, load = self.artefacts.question(model), self.fleet.question(model)

        def fill(pipe: Any) -> None:
            served.ask(pipe)
            load.ask(pipe)
            if flights:
                pipe.mget(flights)

        scores, answers = await port.lookup(digests or (), fill)
        rest = iter(answers)
        found = served.read(rest)
        prospects = load.read(rest)
        return Sight(found, max_length, digests, None if digests is None else scores, prospects, next(rest, ()))
