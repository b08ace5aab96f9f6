"""Cohere's rerank, v2 and v1. v1 also serves who speaks a dialect of it, such as clients of vLLM.

Wider than the original: `model` may be left out, `top_n` 0 means all, v2 takes document objects (LiteLLM sends them).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from rerank_producer.gateway.apis.cohere_bodies import (
    CohereRequest,
    CohereV1Error,
    CohereV1Request,
    CohereV1Response,
    CohereV2Error,
    CohereV2Request,
    CohereV2Response,
)
from rerank_producer.gateway.apis.ranked import cached_tokens, raw, relevance, rows, total_tokens
from rerank_producer.gateway.apis.validation import pair_length, read
from rerank_producer.gateway.ask import Answer, Ask, Problem
from rerank_shared.errors import InvalidRequest

_DOCUMENTS_PER_UNIT = 100
_NO_SPANS = "relevant_spans: no spans are found here"
Document = str | dict[str, Any]


@dataclass(frozen=True, slots=True)
class CohereParsed:
    """A body of v2, and what v1 has in common with it."""

    asks: tuple[Ask]
    top_n: int | None
    version: str
    warnings: tuple[str, ...] = ()
    activated: bool = True

    def render(self, request_id: str, answers: Sequence[Answer]) -> dict[str, Any]:
        """Return the answer's body."""
        (answer,) = answers
        ranked = rows(answer.response.results, self.top_n, relevance if self.activated else raw)
        results = [{"index": index, "relevance_score": score} for index, score in ranked]
        return {"id": request_id, "results": results, "meta": self._meta(answer)}

    def _meta(self, answer: Answer) -> dict[str, Any]:
        meta: dict[str, Any] = {
            "api_version": {"version": self.version},
            "billed_units": {"search_units": math.ceil(len(answer.ask.documents) / _DOCUMENTS_PER_UNIT)},
            "tokens": {"input_tokens": total_tokens(answer.response), "output_tokens": 0},
            "cached_tokens": cached_tokens(answer.response),
        }
        if warnings := [*self.warnings, *answer.warnings]:
            meta["warnings"] = warnings
        return meta


@dataclass(frozen=True, slots=True)
class CohereV1Parsed(CohereParsed):
    """A body of v1; `returned` are the documents that its answer repeats, if any."""

    returned: Sequence[Document] | None = None

    def render(self, request_id: str, answers: Sequence[Answer]) -> dict[str, Any]:
        """Return the answer's body."""
        (answer,) = answers
        content = CohereParsed.render(self, request_id, answers)
        if self.returned is not None:
            for result in content["results"]:
                document = self.returned[result["index"]]
                result["document"] = {"text": document} if isinstance(document, str) else document
        tokens = total_tokens(answer.response)
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return content | {"model": answer.response.model.name, "usage": usage}


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
        ask = _ask(request, request.max_tokens_per_doc)
        return CohereParsed((ask,), request.top_n, "2", warnings=(_NO_SPANS,) if spans else ())

    def problem(self, problem: Problem, request_id: str) -> tuple[int, dict[str, str]]:
        """Return status and body of an error."""
        return problem.status, {"id": request_id, "message": problem.message}


class CohereV1:
    """`POST /v1/rerank`, unless the body is of another dialect."""

    name: str = "cohere-v1"
    request: type[BaseModel] = CohereV1Request
    response: type[BaseModel] = CohereV1Response
    error: type[BaseModel] = CohereV1Error

    def parse(self, body: Any) -> CohereV1Parsed:
        """Read a body. Raises InvalidRequest that names the field."""
        request = read(CohereV1Request, body)
        return CohereV1Parsed(
            (_ask(request, request.max_tokens_per_doc, request.truncate_prompt_tokens),),
            request.top_n,
            "1",
            activated=request.use_activation is not False,
            returned=request.documents if request.return_documents else None,
        )

    def problem(self, problem: Problem, request_id: str) -> tuple[int, dict[str, str]]:
        """Return status and body of an error."""
        return problem.status, {"message": problem.message}


def _ask(request: CohereRequest, *lengths: int | None) -> Ask:
    if not request.documents:
        raise InvalidRequest("documents: list of documents must not be empty")
    fields = request.rank_fields or ["text"]
    texts = [
        document if isinstance(document, str) else _text(document, index, fields)
        for index, document in enumerate(request.documents)
    ]
    return Ask(request.query, texts, model=request.model, max_length=pair_length(*lengths))


def _text(document: Mapping[str, Any], index: int, fields: Sequence[str]) -> str:
    values = [document[field] for field in fields if document.get(field) is not None]
    if not values:
        raise InvalidRequest(f"documents.{index}: has none of the fields to rank; without `rank_fields` that is `text`")
    return "\n".join(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) for value in values)


COHERE_V2 = CohereV2()
COHERE_V1 = CohereV1()
