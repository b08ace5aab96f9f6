"""The ranking of NVIDIA's NIM containers: a query and passages, answered by logits, best first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from rerank_producer.apis.common.call import Problem, RerankCall, RerankReply
from rerank_producer.apis.common.documents import query_of, required_text
from rerank_producer.apis.common.first_stage import FusionFields, asked_fusion
from rerank_producer.apis.common.generic_error import GenericError, generic_error
from rerank_producer.apis.common.ranking import raw, rows, total_tokens
from rerank_producer.apis.common.validation import read
from rerank_shared.contract.schemas import Text
from rerank_shared.errors import InvalidRequest


class NvidiaRequest(FusionFields):
    """Body of `POST /v1/ranking`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "model": "nvidia/llama-3.2-nv-rerankqa-1b-v2",
                    "query": {"text": "What is the capital of France?"},
                    "passages": [{"text": "Paris is."}, {"text": "Berlin is Germany's."}],
                    "truncate": "END",
                }
            ]
        }
    )
    expected: ClassVar[dict[str, str]] = {
        "query": "an object with a `text` expected",
        "passages": "a list of objects with a `text` expected",
        "passages[]": "an object with a `text` expected",
        "truncate": "NONE, START or END expected",
    }

    model: Text | None = Field(None, description="Name of the model; without one, the fleet's own.")
    query: Text | dict[str, Any] = Field(description="What the passages are compared with: `{text}`, or a text.")
    passages: Annotated[list[Text | dict[str, Any]], Field(fail_fast=True)] = Field(
        description="Candidates: `{text}`, or texts. Images are refused."
    )
    truncate: Literal["NONE", "END", "START"] | None = Field(
        None, description="Accepted and ignored: over-long passages are cut at their end."
    )


class NvidiaRanking(BaseModel):
    """A passage's place in the answer, best first."""

    index: int = Field(description="Its position in `passages`.")
    logit: float = Field(description="The higher, the more relevant.")


class NvidiaUsage(BaseModel):
    """Tokens of all pairs, whether the model ran them or their scores were known."""

    prompt_tokens: int
    total_tokens: int


class NvidiaResponse(BaseModel):
    """Answer to `POST /v1/ranking`."""

    rankings: list[NvidiaRanking]
    usage: NvidiaUsage


@dataclass(frozen=True, slots=True)
class NvidiaParsed:
    """A body of `POST /v1/ranking`."""

    calls: tuple[RerankCall]

    def render(self, request_id: str, replies: Sequence[RerankReply]) -> dict[str, Any]:
        """Return the answer's body."""
        (reply,) = replies
        tokens = total_tokens(reply.response)
        return {
            "rankings": [{"index": index, "logit": logit} for index, logit in rows(reply.response, score=raw)],
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }


class Nvidia:
    """`POST /v1/ranking`."""

    name: str = "nvidia"
    request: type[BaseModel] = NvidiaRequest
    response: type[BaseModel] = NvidiaResponse
    error: type[BaseModel] = GenericError

    def parse(self, body: Any) -> NvidiaParsed:
        """Read a body. Raises InvalidRequest that names the field."""
        request = read(NvidiaRequest, body)
        if not request.passages:
            raise InvalidRequest("passages: the list is empty; at least one passage expected")
        passages = [required_text(passage, f"passages.{index}") for index, passage in enumerate(request.passages)]
        fusion = asked_fusion(request, request.scores, request.passages, "passages")
        return NvidiaParsed((RerankCall(query_of(request.query), passages, model=request.model, fusion=fusion),))

    def problem(self, problem: Problem, request_id: str) -> tuple[int, dict[str, Any]]:
        """Return status and body of an error."""
        return problem.status, generic_error(problem)


NVIDIA = Nvidia()
