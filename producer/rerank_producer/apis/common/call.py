"""Calls, replies and problems: the plain data between an API and the rest of the gateway.

An API turns a body into one RerankCall or more, and their replies or a Problem into a body. It knows neither keys nor
deadlines nor HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from pydantic import BaseModel

from rerank_shared.contract.schemas import RerankResponse
from rerank_shared.keys import CacheScope, FirstStageOrder, FusionMethod, JobClass


@dataclass(frozen=True, slots=True)
class AskedFusion:
    """How first-stage scores count in a call, as its body says. Where it is silent, the key or the settings say.

    `scores` are the first-stage scores, one a document; None where there are none, or documents have their own.
    """

    method: FusionMethod | None = None
    weight: float | None = None
    ratio: float | None = None
    first_stage: str = ""
    order: FirstStageOrder = "descending"
    scores: Sequence[float | None] | None = None


@dataclass(frozen=True, slots=True)
class RerankCall:
    """One query and its candidates, as RerankClient.rerank takes them.

    `model` is the name that the caller wrote, if any; the gateway resolves it to a model of the fleet.
    """

    query: str
    documents: Sequence[str | Mapping[str, Any]]
    top_n: int | None = None
    model: str | None = None
    #: Tokens of a pair, at most; more than the model allows means the model's own limit.
    max_length: int | None = None
    # Only the fleet's own API has these fields. A header, or the key, comes before them.
    deadline_ms: float | None = None
    job_class: JobClass = "interactive"
    tenant: str = ""
    tokenizer_digest: str | None = None
    cache_scope: CacheScope = "fleet"
    fusion: AskedFusion = AskedFusion()
    #: Several models in the place of `model`, each with its `model` and `keep`.
    stages: Sequence[Mapping[str, Any]] = ()

    @property
    def has_first_stage_scores(self) -> bool:
        """Whether some document has a first-stage score."""
        if self.fusion.scores is not None:
            return any(score is not None for score in self.fusion.scores)
        return any(not isinstance(each, str) and each.get("score") is not None for each in self.documents)


@dataclass(frozen=True, slots=True)
class RerankReply:
    """The response of the fleet, or of an upstream in its place, to a call."""

    call: RerankCall
    response: RerankResponse
    #: For the caller: documents cut, documents not scored in time, fused scores, another model or an upstream.
    warnings: tuple[str, ...] = ()
    #: Host of the upstream that answered in the fleet's place.
    upstream: str | None = None
    #: The level of the key's token bucket, as headers.
    rate_headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Problem:
    """Why there is no answer, before an API gives it its own shape.

    `code` is that of the error (rerank_shared.errors) or one of the gateway's own: unauthorized, forbidden,
    model_not_allowed, rate_limited, body_too_large, malformed_json, body_too_slow, not_found.
    """

    status: int
    code: str
    message: str
    retryable: bool = False
    retry_after_s: float | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class Parsed(Protocol):
    """A body that an API has read: its calls, and how to write their replies."""

    @property
    def calls(self) -> Sequence[RerankCall]:
        """The calls; mostly one. Several share one deadline, and fail together."""

    def render(self, request_id: str, replies: Sequence[RerankReply]) -> Any:
        """Return the answer's body, ready for JSON; `replies` are in the order of `calls`."""


class Api(Protocol):
    """One imitated API."""

    #: As it stands in docs: cohere-v2, cohere-v1, jina, voyage, tei, score, fleet.
    name: str
    # Its bodies as models, for OpenAPI.
    request: type[BaseModel]
    response: type[BaseModel]
    error: type[BaseModel]

    def parse(self, body: Any) -> Parsed:
        """Read a decoded JSON body. Unknown fields are ignored where the imitated API ignores them.

        Raises InvalidRequest that names the field.
        """

    def problem(self, problem: Problem, request_id: str) -> tuple[int, Any]:
        """Return status and body of an error, in this API's own shape."""
