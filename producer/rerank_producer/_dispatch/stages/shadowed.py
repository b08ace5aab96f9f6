"""A shadowed request: one model answers it, and behind its caller others score the same pairs once more.

The caller's answer is made before a shadow learns of the request. Handing it on returns at once and raises nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rerank_producer._dispatch.fleet_load import FleetLoad
from rerank_producer._dispatch.stages.one_model import OneModel
from rerank_producer._dispatch.stages.planned import Planned
from rerank_producer._request.ranking import Ranking
from rerank_shared.contract.schemas import RerankRequest, RerankResponse
from rerank_shared.routing.choice import shadows
from rerank_shared.routing.route import Route

#: The fewest scored documents that have an order.
_FEWEST_SCORED = 2


@dataclass(frozen=True, slots=True)
class Sampled:
    """An answered request that the model `shadow` is to score too.

    `live` is the model that the route led to, `ranking` its scores, and `load` the load of its pool.
    """

    request: RerankRequest
    route: Route
    live: str
    shadow: str
    ranking: Ranking
    load: FleetLoad | None


OnSampled = Callable[[Sampled], None]


@dataclass(frozen=True, slots=True)
class Shadowed:
    """Answers one request by one model, and hands it on for each of the `models` that are to score it once more."""

    live: OneModel
    models: Sequence[str]
    hand_on: OnSampled

    async def answer(self, first: Planned) -> RerankResponse:
        """Return the answer, and raise, as the live model alone does."""
        answered = await self.live.answered(first)
        target, ranking = first.found.target, answered.ranking
        if target.route is not None and len(ranking.scores) - ranking.scores.count(None) >= _FEWEST_SCORED:
            for model in self.models:
                self.hand_on(Sampled(first.request, target.route, target.model, model, ranking, first.found.load))
        return answered.response


def shadows_of(first: Planned) -> Sequence[str]:
    """Return the models that score a request once more: of interactive ones that came by a route, its sample."""
    route, request = first.found.target.route, first.request
    if route is None or request.job_class != "interactive":
        return ()
    return shadows(route.shadow, request.query, first.found.target.model)
