"""What a request becomes, whichever API it came in by, and what is known of it when its answer is written. Plain data.

An API turns a body into one `Ask` or more and answers into a body again; it knows neither keys nor deadlines nor HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from pydantic import BaseModel

from rerank_shared.contract.schemas import RerankResponse
from rerank_shared.keys import CacheScope, JobClass


@dataclass(frozen=True, slots=True)
class Ask:
    """One query and its candidates, as RerankClient.rerank takes them.

    `model` is what the caller wrote, if anything; which model of the fleet stands for it is the gateway's business.
    """

    query: str
    documents: Sequence[str | Mapping[str, Any]]
    top_n: int | None = None
    model: str | None = None
    #: Tokens of a pair, at most; more than the model allows means the model's own limit.
    max_length: int | None = None
    # What only the native shape can say; a header or key that says the same comes first.
    deadline_ms: float | None = None
    job_class: JobClass = "interactive"
    tenant: str = ""
    tokenizer_digest: str | None = None
    cache_scope: CacheScope = "fleet"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the fleet, or an upstream in its place, answered to an `Ask`."""

    ask: Ask
    response: RerankResponse
    #: What the caller should know: documents cut, documents not scored in time, another model or an upstream.
    warnings: tuple[str, ...] = ()
    #: Host of the upstream that answered in the fleet's place.
    upstream: str | None = None
    #: What the caller's key has left, as headers.
    limits: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Problem:
    """Why there is no answer, before an API gives it its own shape.

    `code` is that of the error (rerank_shared.errors) or one of the gateway's own: unauthorized, forbidden,
    rate_limited, body_too_large, malformed_json, body_too_slow, not_found.
    """

    status: int
    code: str
    message: str
    retryable: bool = False
    retry_after_s: float | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class Parsed(Protocol):
    """A body that was understood: what to ask of the fleet, and how to write what it answered."""

    @property
    def asks(self) -> Sequence[Ask]:
        """What to ask; mostly one. Several share one deadline, and fail together."""

    def render(self, request_id: str, answers: Sequence[Answer]) -> Any:
        """Return the answer's body, ready for JSON; `answers` in the order of `asks`."""


class Api(Protocol):
    """One imitated API."""

    #: As it stands in docs: cohere-v2, cohere-v1, jina, voyage, tei, score, fleet.
    name: str
    # Its bodies as models, for OpenAPI.
    request: type[BaseModel]
    response: type[BaseModel]
    error: type[BaseModel]

    def parse(self, body: Any) -> Parsed:
        """Read a decoded JSON body. Raises InvalidRequest that names the field; fields it does not know are ignored
        where the imitated API ignores them."""

    def problem(self, problem: Problem, request_id: str) -> tuple[int, Any]:
        """Return status and body of an error, in this API's own shape."""
