"""vLLM's score: pairs of texts, one with many or many with as many, answered in the order they came.

Pairs of one query form one call, wherever they stand in the lists.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from rerank_producer.apis.common.call import Problem, RerankCall, RerankReply
from rerank_producer.apis.common.generic_error import ErrorInfo, error_info
from rerank_producer.apis.common.ranking import raw, relevance, rows, total_tokens
from rerank_producer.apis.common.validation import Body, Texts, pair_length, read
from rerank_shared.contract.schemas import Text
from rerank_shared.errors import InvalidRequest

#: In the order in which they are looked for.
_NAMES = (("queries", "documents"), ("queries", "items"), ("data_1", "data_2"), ("text_1", "text_2"))
_ONE_OR_MANY = "a text, or a list of texts, expected"


class ScoreRequest(Body):
    """Body of `POST /score`: the two lists under any of the names that vLLM knows."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"text_1": "What is the capital of France?", "text_2": ["Paris is.", "Berlin is Germany's."]},
                {"queries": ["capital of France?", "capital of Peru?"], "documents": ["Paris.", "Lima."]},
            ]
        }
    )
    expected: ClassVar[dict[str, str]] = {
        **{name: _ONE_OR_MANY for names in _NAMES for name in names},
        **{f"{name}[]": "a text expected" for names in _NAMES for name in names},
        "truncate_prompt_tokens": "a whole number from -1 expected",
    }

    model: Text | None = Field(None, description="Name of the model; without one, the fleet's own.")
    text_1: Text | Texts | None = Field(None, description="One query for all of `text_2`, or one for each.")
    text_2: Text | Texts | None = Field(None, description="What is compared with `text_1`.")
    queries: Text | Texts | None = Field(None, description="Another name of `text_1`.")
    documents: Text | Texts | None = Field(None, description="Another name of `text_2`.")
    items: Text | Texts | None = Field(None, description="Another name of `text_2`.")
    data_1: Text | Texts | None = Field(None, description="Another name of `text_1`.")
    data_2: Text | Texts | None = Field(None, description="Another name of `text_2`.")
    truncate_prompt_tokens: Annotated[int, Field(ge=-1)] | None = Field(
        None, description="Tokens of a pair, at most. -1 or 0: what the model reads."
    )
    use_activation: bool | None = Field(None, description="False: logits. Else the model's own activation of them.")
    activation: bool | None = Field(None, description="An older name of `use_activation`.")


class ScoreData(BaseModel):
    """The score of a pair."""

    index: int = Field(description="The pair's position in the request.")
    object: str
    score: float


class ScoreUsage(BaseModel):
    """Tokens of all pairs, whether the model ran them or their scores were known."""

    prompt_tokens: int
    total_tokens: int
    completion_tokens: int


class ScoreResponse(BaseModel):
    """Answer to `POST /score`, in the order of the pairs."""

    id: str
    object: str
    created: int = Field(description="Unix time, seconds.")
    model: str = Field(description="The model that scored, whatever name was asked for.")
    data: list[ScoreData]
    usage: ScoreUsage


class ScoreError(BaseModel):
    """An error of vLLM."""

    error: ErrorInfo


@dataclass(frozen=True, slots=True)
class ScoreParsed:
    """Pairs by query; `places` has the positions of each call's documents among the pairs."""

    calls: tuple[RerankCall, ...]
    places: tuple[tuple[int, ...], ...]
    activated: bool
    clock: Callable[[], float]

    def render(self, request_id: str, replies: Sequence[RerankReply]) -> dict[str, Any]:
        """Return the answer's body."""
        scores = [0.0] * sum(map(len, self.places))
        for places, reply in zip(self.places, replies, strict=True):
            for index, score in rows(reply.response, score=relevance if self.activated else raw):
                scores[places[index]] = score
        tokens = sum(total_tokens(reply.response) for reply in replies)
        return {
            "id": request_id,
            "object": "list",
            "created": int(self.clock()),
            "model": replies[0].response.model.name,
            "data": [{"index": place, "object": "score", "score": score} for place, score in enumerate(scores)],
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens, "completion_tokens": 0},
        }


class Score:
    """`POST /score`."""

    name: str = "score"
    request: type[BaseModel] = ScoreRequest
    response: type[BaseModel] = ScoreResponse
    error: type[BaseModel] = ScoreError

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock

    def parse(self, body: Any) -> ScoreParsed:
        """Read a body. Raises InvalidRequest that names the field."""
        request = read(ScoreRequest, body)
        first, second = _sides(request)
        by_query: dict[str, list[int]] = {}
        for place in range(len(second)):
            by_query.setdefault(first[place % len(first)], []).append(place)
        max_length = pair_length(request.truncate_prompt_tokens)
        calls = tuple(
            RerankCall(query, [second[place] for place in places], model=request.model, max_length=max_length)
            for query, places in by_query.items()
        )
        activated = request.use_activation is not False and request.activation is not False
        return ScoreParsed(calls, tuple(map(tuple, by_query.values())), activated, self.clock)

    def problem(self, problem: Problem, request_id: str) -> tuple[int, dict[str, Any]]:
        """Return status and body of an error."""
        return problem.status, {"error": error_info(problem)}


def _sides(request: ScoreRequest) -> tuple[list[str], list[str]]:
    """Return both lists, the first of length 1 or as long as the second."""
    for names in _NAMES:
        first, second = (getattr(request, name) for name in names)
        if first is not None and second is not None:
            break
    else:
        raise InvalidRequest("text_1: is missing, or `text_2` is; both expected, or `queries` and `documents`")
    sides = [[side] if isinstance(side, str) else list(side) for side in (first, second)]
    for name, side in zip(names, sides, strict=True):
        if not side:
            raise InvalidRequest(f"{name}: the list is empty; at least one text expected")
    if len(sides[0]) not in (1, len(sides[1])):
        raise InvalidRequest(
            f"{names[0]}: {len(sides[0])} texts for the {len(sides[1])} of `{names[1]}`; one for all of them, or one "
            "for each, expected"
        )
    return sides[0], sides[1]


SCORE = Score()
