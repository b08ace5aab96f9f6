"""The fleet's own API: a RerankRequest comes in, and the whole RerankResponse goes out.

It alone refuses unknown fields, though not those of documents. Jobs use its request and its errors too. A body of
millions of mistakes must not become millions of errors, so a first pass stops at the first one, before RerankRequest
lists all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from rerank_producer.apis.common.call import AskedFusion, Problem, RerankCall, RerankReply
from rerank_shared.contract.schemas import (
    Document,
    FirstStageScore,
    RerankRequest,
    RerankResponse,
    Text,
    TokenId,
    parse_request,
)
from rerank_shared.errors import InvalidRequest

_DOCUMENT_EXPECTED = "a text, or an object of either `text` or `token_ids`, expected"


class _Document(Document):
    """A document whose validation stops at the first wrong token."""

    token_ids: Annotated[tuple[TokenId, ...], Field(fail_fast=True)] | None = None


_DOCUMENTS: TypeAdapter[list[str | _Document]] = TypeAdapter(Annotated[list[Text | _Document], Field(fail_fast=True)])
_SCORES: TypeAdapter[list[float | None]] = TypeAdapter(
    Annotated[list[FirstStageScore | None], Field(fail_fast=True)],
)


class FleetErrorInfo(BaseModel):
    """What went wrong."""

    code: str = Field(description="Stable name of the kind of error, for programs.")
    message: str = Field(description="What to do about it, for people.")
    retryable: bool = Field(description="Whether the same request may succeed later.")
    retry_after_s: float | None = Field(None, description="After how many seconds, where that is known.")


class FleetError(BaseModel):
    """An error of the fleet's own API."""

    error: FleetErrorInfo


@dataclass(frozen=True, slots=True)
class FleetParsed:
    """A body of the fleet's own API."""

    calls: tuple[RerankCall]

    def render(self, request_id: str, replies: Sequence[RerankReply]) -> dict[str, Any]:
        """Return the answer's body; its `id` is that of the job."""
        (reply,) = replies
        return reply.response.model_dump()


class Fleet:
    """`POST /v1/fleet/rerank`."""

    name: str = "fleet"
    request: type[BaseModel] = RerankRequest
    response: type[BaseModel] = RerankResponse
    error: type[BaseModel] = FleetError

    def parse(self, body: Any) -> FleetParsed:
        """Read a body. Raises InvalidRequest that names the field, also for one that is unknown."""
        if not isinstance(body, dict):
            raise InvalidRequest("request: a JSON object expected")
        _refuse_floods(body)
        options = dict(body)
        documents = options.pop("documents", None)
        request = parse_request(options.pop("query", None), documents, **options)
        call = RerankCall(
            request.query,
            documents,
            request.top_n,
            request.model,
            request.max_length,
            deadline_ms=request.deadline_ms,
            job_class=request.job_class,
            tenant=request.tenant,
            tokenizer_digest=request.tokenizer_digest,
            cache_scope=request.cache_scope,
            fusion=_asked_fusion(request),
            stages=tuple(stage.model_dump() for stage in request.stages or ()),
        )
        return FleetParsed((call,))

    def problem(self, problem: Problem, request_id: str) -> tuple[int, dict[str, Any]]:
        """Return status and body of an error."""
        error: dict[str, Any] = {"code": problem.code, "message": problem.message, "retryable": problem.retryable}
        if problem.retry_after_s is not None:
            error["retry_after_s"] = problem.retry_after_s
        return problem.status, {"error": error}


def _asked_fusion(request: RerankRequest) -> AskedFusion:
    """Return how first-stage scores count. Those in documents stay there. Raises InvalidRequest."""
    if request.fusion_weight == math.inf:
        # The answer repeats it, and JSON has no such number.
        raise InvalidRequest("fusion_weight: a finite number of at least 0 expected")
    return AskedFusion(
        request.fusion,
        request.fusion_weight,
        request.fusion_ratio,
        request.first_stage,
        request.first_stage_order,
        request.scores,
    )


def _refuse_floods(body: dict[str, Any]) -> None:
    """Raise InvalidRequest for a body of more fields than the API has, and for the first wrong document or score."""
    if len(body) > len(RerankRequest.model_fields):
        raise InvalidRequest(f"request: {len(body)} fields, of which some are unknown here")
    documents, scores = body.get("documents"), body.get("scores")
    if isinstance(documents, list):
        _refuse_first_wrong_document(documents)
    if isinstance(scores, list):
        try:
            _SCORES.validate_python(scores)
        except ValidationError as error:
            mistake = _last_mistake(error)
            raise InvalidRequest(f"scores.{mistake['loc'][0]}: {mistake['msg']}") from None


def _refuse_first_wrong_document(documents: list[Any]) -> None:
    try:
        _DOCUMENTS.validate_python(documents)
    except ValidationError as error:
        # The union's last branch is that of objects; its error names the field of the document.
        mistake = _last_mistake(error)
        index, _, *within = mistake["loc"]
        if within[:1] == ["score"]:
            # What follows are the branches of its own union.
            within = within[:1]
        message = _DOCUMENT_EXPECTED if mistake["type"] == "model_type" else mistake["msg"]
        raise InvalidRequest(f"documents.{'.'.join(map(str, (index, *within)))}: {message}") from None


def _last_mistake(error: ValidationError) -> ErrorDetails:
    return error.errors(include_url=False, include_context=False, include_input=False)[-1]


FLEET = Fleet()
