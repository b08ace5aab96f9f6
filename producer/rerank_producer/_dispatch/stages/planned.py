"""One request to one model, as the pipeline plans and answers it, and as a cascade asks for several."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

from rerank_producer._dispatch.dispatcher import Dispatcher
from rerank_producer._dispatch.lookup import LookupResult, RequestLookup
from rerank_producer._io.clock import Deadline
from rerank_producer._io.port import Port
from rerank_producer._request.plan import RequestPlan
from rerank_producer._request.ranking import Ranking
from rerank_shared.contract.messages import Fusion
from rerank_shared.contract.schemas import RerankRequest, RerankResponse
from rerank_shared.errors import Overloaded, RerankError


@dataclass(slots=True)
class Spent:
    """Milliseconds that a request has spent on the caller's side."""

    cache_ms: float = 0.0
    enqueue_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Planned:
    """A request that was looked up, with what is to be done for it."""

    request: RerankRequest
    found: LookupResult
    plan: RequestPlan
    deadline: Deadline
    spent: Spent = field(default_factory=Spent)


@dataclass(frozen=True, slots=True)
class Answered:
    """The response to a request, and the scores that it was made of.

    `shortfall` is why it is not complete, None where it is.
    """

    response: RerankResponse
    shortfall: RerankError | None
    ranking: Ranking

    def taken(self, *, partial: bool | Literal["scored"]) -> RerankResponse:
        """Return the response. Raises the shortfall to a caller to whom the response is not worth having.

        After the deadline, first-stage order is an answer to a caller that takes partial ones, unless it wants scores.
        A refusal leaves the caller time to ask elsewhere.
        """
        if self.shortfall is None:
            return self.response
        needs_scores = isinstance(self.shortfall, Overloaded) or partial == "scored"
        if not partial or (needs_scores and not any(each.scored for each in self.response.results)):
            raise self.shortfall
        return self.response


class Pass(Protocol):
    """A pass over the fleet as a value: how one request is answered, by one model or several."""

    async def answer(self, first: Planned) -> RerankResponse:
        """Return the answer to a request that was planned for the first model."""


class Requests(Protocol):
    """Requests to one model each; see RequestPipeline."""

    lookup: RequestLookup
    dispatcher: Dispatcher

    def prepare(
        self,
        request: RerankRequest,
        found: LookupResult,
        fusion: Fusion | None,
        deadline: Deadline,
        *,
        teaches: bool = True,
    ) -> Planned:
        """Return what is to be done for a request that was looked up; `teaches`: fusion learns from its answer."""

    async def answer(self, port: Port, planned: Planned, *, partial: bool) -> Answered:
        """Score what is missing, and return the response."""
