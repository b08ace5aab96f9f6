"""One model answers a request: the plainest of the passes that a request can take through the fleet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rerank_producer._dispatch.routes.errors import naming
from rerank_producer._dispatch.stages.planned import Answered, Planned, Requests
from rerank_producer._io.port import Port
from rerank_shared.contract.schemas import RerankResponse


@dataclass(frozen=True, slots=True)
class OneModel:
    """Answers one request by the model that it was planned for. `partial`: see Cascade."""

    requests: Requests
    port: Port
    partial: bool | Literal["scored"]

    async def answer(self, first: Planned) -> RerankResponse:
        """Return the answer. Raises what its caller has to be told in the place of one."""
        return (await self.answered(first)).response

    async def answered(self, first: Planned) -> Answered:
        """Return the answer with the scores that it was made of. Raises as `answer` does."""
        with naming(first.found.target):
            answered = await self.requests.answer(self.port, first, partial=bool(self.partial))
            answered.taken(partial=self.partial)
            return answered
