"""Cohere's rerank, v2 and v1, as its own clients and those of vLLM, llama.cpp, Xinference and Together speak it.

Wider than the original: `model` may be left out, `top_n` 0 means all, v2 takes objects and gives documents back.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from rerank_producer.apis.cohere_bodies import (
    CohereRequest,
    CohereV1Request,
    CohereV1Response,
    CohereV2Error,
    CohereV2Request,
    CohereV2Response,
    hosted_by_cohere,
)
from rerank_producer.apis.common.call import Problem, RerankCall, RerankReply
from rerank_producer.apis.common.documents import Document, text_of
from rerank_producer.apis.common.first_stage import asked_fusion
from rerank_producer.apis.common.generic_error import GenericError, generic_error
from rerank_producer.apis.common.ranking import cached_tokens, raw, relevance, rows, total_tokens
from rerank_producer.apis.common.validation import pair_length, read
from rerank_shared.errors import InvalidRequest

_DOCUMENTS_PER_UNIT = 100
_NO_SPANS = "relevant_spans: no spans are found here"
_SHOWN_PLACES = 5


@dataclass(frozen=True, slots=True)
class CohereParsed:
    """A body of v2, or the part of one of v1 that is the same. The answer repeats the documents of `returned`."""

    calls: tuple[RerankCall]
    top_n: int | None
    version: str
    activated: bool
    warnings: tuple[str, ...] = ()
    returned: Sequence[Document | None] | None = None

    def render(self, request_id: str, replies: Sequence[RerankReply]) -> dict[str, Any]:
        """Return the answer's body."""
        (reply,) = replies
        ranked = rows(reply.response, self.top_n, relevance if self.activated else raw)
        results: list[dict[str, Any]] = [{"index": index, "relevance_score": score} for index, score in ranked]
        if self.returned is not None:
            for result in results:
                document = self.returned[result["index"]]
                result["document"] = document if isinstance(document, dict) else {"text": document or ""}
        return {"id": request_id, "results": results, "meta": self._meta(reply)}

    def _meta(self, reply: RerankReply) -> dict[str, Any]:
        meta: dict[str, Any] = {
            "api_version": {"version": self.version},
            "billed_units": {"search_units": math.ceil(len(reply.call.documents) / _DOCUMENTS_PER_UNIT)},
            "tokens": {"input_tokens": total_tokens(reply.response), "output_tokens": 0},
            "cached_tokens": cached_tokens(reply.response),
        }
        if warnings := [*self.warnings, *reply.warnings]:
            meta["warnings"] = warnings
        return meta


@dataclass(frozen=True, slots=True)
class CohereV1Parsed(CohereParsed):
    """A body of v1."""

    def render(self, request_id: str, replies: Sequence[RerankReply]) -> dict[str, Any]:
        """Return the answer's body."""
        (reply,) = replies
        content = CohereParsed.render(self, request_id, replies)
        tokens = total_tokens(reply.response)
        usage = {"prompt_tokens": tokens, "completion_tokens": 0, "total_tokens": tokens}
        return content | {"object": "rerank", "model": reply.response.model.name, "usage": usage}


class CohereV2:
    """`POST /v2/rerank`."""

    name: str = "cohere-v2"
    request: type[BaseModel] = CohereV2Request
    response: type[BaseModel] = CohereV2Response
    error: type[BaseModel] = CohereV2Error

    def parse(self, body: Any) -> CohereParsed:
        """Read a body. Raises InvalidRequest that names the field."""
        request = read(CohereV2Request, body)
        spans = request.relevant_spans is not None and request.relevant_spans.get("mode") != "disabled"
        wanted = request.return_documents
        if wanted is None:
            # vLLM has this path too and always repeats them; a name that is not one of Cohere's comes from its users.
            wanted = bool(request.model) and not hosted_by_cohere(request.model)
        call, warnings = read_call(request)
        return CohereParsed(
            (call,),
            request.best,
            "2",
            request.activated,
            warnings=(*warnings, _NO_SPANS) if spans else warnings,
            returned=request.documents if wanted else None,
        )

    def problem(self, problem: Problem, request_id: str) -> tuple[int, dict[str, str]]:
        """Return status and body of an error."""
        return problem.status, {"id": request_id, "message": problem.message}


class CohereV1:
    """`POST /v1/rerank`, unless the body is of another dialect."""

    name: str = "cohere-v1"
    request: type[BaseModel] = CohereV1Request
    response: type[BaseModel] = CohereV1Response
    error: type[BaseModel] = GenericError

    def parse(self, body: Any) -> CohereV1Parsed:
        """Read a body. Raises InvalidRequest that names the field."""
        request = read(CohereV1Request, body)
        call, warnings = read_call(request)
        returned = request.documents if request.return_documents else None
        return CohereV1Parsed((call,), request.best, "1", request.activated, warnings=warnings, returned=returned)

    def problem(self, problem: Problem, request_id: str) -> tuple[int, dict[str, Any]]:
        """Return status and body of an error."""
        return problem.status, generic_error(problem)


def read_call(request: CohereRequest) -> tuple[RerankCall, tuple[str, ...]]:
    """Return the call of a body, and its warnings. Raises InvalidRequest that names the document."""
    if not request.documents:
        raise InvalidRequest("documents: list of documents must not be empty")
    found = [
        text_of(document, f"documents.{index}", request.rank_fields or ())
        for index, document in enumerate(request.documents)
    ]
    length = pair_length(request.max_tokens_per_doc, request.truncate_prompt_tokens)
    fusion = asked_fusion(request, request.scores, request.documents)
    texts = [text or "" for text in found]
    call = RerankCall(request.query, texts, model=request.model, max_length=length, fusion=fusion)
    nulls = [f"documents.{index}" for index, text in enumerate(found) if text is None]
    return call, (_of_nulls(nulls),) if nulls else ()


def _of_nulls(places: Sequence[str]) -> str:
    more = f" and {len(places) - _SHOWN_PLACES} more" if len(places) > _SHOWN_PLACES else ""
    return f"null where a text was expected, scored as an empty one: {', '.join(places[:_SHOWN_PLACES])}{more}"


COHERE_V2 = CohereV2()
COHERE_V1 = CohereV1()
