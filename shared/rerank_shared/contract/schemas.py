"""Public schemas, as pydantic models: the request that a caller sends and the response that it gets."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence, Set
from contextlib import suppress
from numbers import Real
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from rerank_shared.contract.token_ids import ID_MAX, Content, TokenIds, refuse_undeclared
from rerank_shared.errors import InvalidRequest
from rerank_shared.keys import CacheScope, FirstStageOrder, FusionMethod, JobClass
from rerank_shared.nearest import did_you_mean
from rerank_shared.routing.spec import RequestStages, StageSpec

#: A special token on each side and between, and at least one token of text.
MIN_LENGTH = 8
#: Bound of a document's id: Redis keeps it with a submitted request, and no tenant is charged for it.
MAX_ID_CHARS = 1_024
#: Bytes are refused, since their encoding is unknown.
Text = Annotated[str, Strict()]
#: A part of a Redis key.
Name = Annotated[str, Strict(), Field(pattern=r"^[A-Za-z0-9_.-]{0,64}$")]
TokenId = Annotated[int, Strict(), Field(ge=0, le=ID_MAX)]
Sha256 = Annotated[str, Strict(), Field(pattern=r"^[0-9a-f]{64}$")]
SCORE_EXPECTED = "a finite number expected; leave it out, or send null, where the first stage has none"
_DOCUMENT_EXPECTED = "a text, or an object of either `text` or `token_ids`, expected"
_SHOWN_MISTAKES = 5
_SHOWN_NAME_CHARS = 64


def as_score(value: Any) -> float:
    """Return a finite number, of any type that is a real number, as a float. Raises ValueError."""
    if isinstance(value, Real) and not isinstance(value, bool):
        # A whole number of Python's may be beyond the range of a float.
        with suppress(OverflowError):
            if math.isfinite(number := float(value)):
                return number
    raise PydanticCustomError("first_stage_score", SCORE_EXPECTED)


#: A first-stage score. Numbers of other types than Python's own, such as NumPy's, take the second branch.
FirstStageScore = Annotated[
    Annotated[float, Strict(), Field(allow_inf_nan=False)] | Annotated[float, BeforeValidator(as_score)],
    Field(union_mode="left_to_right"),
]


def encodable(value: Any) -> Any:
    """Return text with lone surrogates as U+FFFD and proper pairs of them joined; all else unchanged."""
    if not isinstance(value, str) or value.isascii():
        return value
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return value


class Document(BaseModel):
    """A candidate: its `text`, or else its `token_ids`. `id` and `metadata` come back in its result and are not scored.

    `score` is what the first stage gave it, on any scale; it counts where the request asks for fusion. An `id` has
    `MAX_ID_CHARS` characters at most. `token_ids` are the ids of the whole text by the model's own
    tokenizer, without special tokens and without padding; their score is that of the text. The request names the
    tokenizer in `tokenizer_digest`.
    """

    model_config = ConfigDict(frozen=True)

    text: Text | None = None
    token_ids: tuple[TokenId, ...] | None = None
    id: Annotated[Text, Field(max_length=MAX_ID_CHARS)] | None = None
    metadata: dict[str, Any] | None = None
    score: FirstStageScore | None = None

    _encodable = field_validator("text", "id", mode="before")(encodable)

    @model_validator(mode="after")
    def _either(self) -> Self:
        if (self.text is None) == (self.token_ids is None):
            raise PydanticCustomError("document_content", "either `text` or `token_ids` expected")
        return self

    @property
    def content(self) -> Content:
        """The content that is scored: the text, or the token ids."""
        return self.text if self.text is not None else TokenIds.of(self.token_ids or ())


class RerankRequest(BaseModel):
    """One query and its candidates, in first-stage order (best first, if there is an order).

    `deadline_ms` counts from the call and may be 0 or below (a budget already spent); None means the default of the
    class. `model` None means the model of the settings. `tokenizer_digest` is the SHA-256 of the tokenizer.json that
    made the documents' `token_ids`: required where there are any, and refused where the model has another tokenizer.
    Tenants share the fleet by tokens; all requests that name no `tenant` are one tenant. With the `cache_scope`
    "tenant" scores are looked up and kept for that tenant alone, so that no other tenant learns its requests.

    `fusion` says how first-stage scores count in the order: those in `scores`, one a document, or else those in the
    documents. None means the method of the settings, and so for `fusion_weight`, which is at least 0. `fusion_ratio`
    fixes what `weighted` otherwise learns under the name of the `first_stage`. The `first_stage_order` is "ascending"
    where smaller scores are better.

    `stages` are several models in the place of `model`: the first scores all documents, each later one the best `keep`
    of the order so far.
    """

    model_config = ConfigDict(frozen=True, populate_by_name=True, extra="forbid")

    query: Text
    documents: list[Text | Document]
    top_n: Annotated[int, Field(ge=1)] | None = None
    max_length: Annotated[int, Field(ge=MIN_LENGTH)] | None = None
    deadline_ms: Annotated[float, Field(allow_inf_nan=False)] | None = None
    job_class: Annotated[JobClass, Field(alias="class")] = "interactive"
    model: Text | None = None
    tokenizer_digest: Sha256 | None = None
    tenant: Name = ""
    cache_scope: CacheScope = "fleet"
    fusion: FusionMethod | None = None
    fusion_weight: Annotated[float, Field(ge=0)] | None = None
    fusion_ratio: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    first_stage: Name = ""
    first_stage_order: FirstStageOrder = "descending"
    scores: list[FirstStageScore | None] | None = None
    stages: RequestStages | None = None

    # Runs before pydantic's own check, whose releases differ in whether they let lone surrogates through.
    _encodable = field_validator("query", "model", mode="before")(encodable)

    @field_validator("documents", mode="before")
    @classmethod
    def _encodable_documents(cls, value: Any) -> Any:
        if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
            return value
        return [encodable(document) for document in value]

    @field_validator("scores", mode="before")
    @classmethod
    def _listed_scores(cls, value: Any) -> Any:
        if isinstance(value, str | bytes | Mapping | Set):
            raise PydanticCustomError("scores_order", "a list expected, in the order of the documents")
        return list(value) if isinstance(value, Iterable) else value

    def first_stage_scores(self) -> list[float | None]:
        """Return the first-stage score of each document, in order."""
        if self.scores is not None:
            return self.scores
        return [None if isinstance(document, str) else document.score for document in self.documents]

    def contents(self) -> list[Content]:
        """Return the content of each document, in order."""
        return [d if isinstance(d, str) else d.content for d in self.documents]


class Result(BaseModel):
    """One document's place in the answer. An unscored document has neither score nor logit.

    `index` is the document's place in the request, from 0. `logit` is the model's output; `relevance_score` is the
    logit after the model's activation: 0 to 1 for a sigmoid, the logit itself for the identity. `tokens` counts the
    pair after truncation; `truncated` says that text was cut to fit; `cached` that the score came from the cache.
    `ranks` are set where the candidates were fused from several lists: the document's rank in each, from 1.

    Where first-stage scores count, `first_stage_score` is the document's own, as it was sent, and `fused_score` is the
    one that results are ordered by; `relevance_score` and `logit` remain the model's.

    `scored_by` is set where stages answered: the model of the stage that all scores of this result come from. Scores of
    two models do not compare.
    """

    index: int
    id: str | None = None
    relevance_score: float | None = None
    logit: float | None = None
    tokens: int | None = None
    truncated: bool = False
    cached: bool = False
    scored: bool = True
    metadata: dict[str, Any] | None = None
    ranks: list[int | None] | None = None
    first_stage_score: float | None = None
    fused_score: float | None = None
    scored_by: str | None = None


class Timings(BaseModel):
    """Milliseconds of each step, summed where several stages answered. Those of `total_ms`, `cache_ms`, `enqueue_ms`
    and `fuse_ms` are spent by the client, the others by the worker.
    """

    total_ms: float = 0.0
    cache_ms: float = 0.0
    enqueue_ms: float = 0.0
    queue_ms: float = 0.0
    tokenize_ms: float = 0.0
    batch_ms: float = 0.0
    run_ms: float = 0.0
    fuse_ms: float = 0.0


class FusionInfo(BaseModel):
    """How first-stage scores counted in an answer.

    `applied` is "zscore" where `method` is "weighted" and its ratio has been learned from too few requests so far.
    `ratio` is the factor that brought first-stage scores to the scale of logits; None for "rrf". `learned_requests` is
    the number of requests that "weighted" has learned from so far; None where the ratio was given, or is not learned.
    """

    # An infinite weight is the text "Infinity" in JSON, which has no such number.
    model_config = ConfigDict(ser_json_inf_nan="strings")

    method: FusionMethod
    applied: FusionMethod
    weight: float
    ratio: float | None = None
    learned_requests: int | None = None
    first_stage: str = ""


class ModelInfo(BaseModel):
    """The model that made the scores: the SHA-256 of its file in hex, and its precision, such as fp32 or int8.

    `max_length` is the most tokens of a pair that it reads. `activation` turns its logits into relevance scores:
    "sigmoid" or "identity". Until a worker has announced the model, all fields but the name are None.
    """

    name: str
    digest: str | None = None
    precision: str | None = None
    max_length: int | None = None
    activation: str | None = None


class Usage(BaseModel):
    """Work done for this request: tokens that the model ran (cached pairs cost none), and pairs by origin."""

    tokens: int = 0
    pairs_run: int = 0
    pairs_cached: int = 0


class StageInfo(BaseModel):
    """What one stage did. `model` is its name as it was asked for, `digest` the SHA-256 of its file.

    It was to score `documents` and scored `scored` of them. Where it is not `complete`, `reason` is the code of the
    error that kept it from that, or "no_workers", and its other documents stand by the order of the stage before.
    """

    model: str
    digest: str | None = None
    documents: int
    scored: int
    complete: bool
    reason: str | None = None
    usage: Usage


class Experiment(BaseModel):
    """A change of this answer's order that was made to learn from feedback; see docs/feedback.md.

    "swap": the results at the two `ranks`, from 1, have changed places. Their scores went with them.
    """

    kind: Literal["swap"] = "swap"
    ranks: tuple[int, int]


class RerankResponse(BaseModel):
    """The answer, best first. Where `complete` is false, unscored documents stand last in first-stage order.

    `fusion` is None where the model's scores alone gave the order. `experiment` says that two results have changed
    places, None that none have.

    `stages` is set where several models answered, one after another: results of the last stand first, then those of the
    one before. `complete` is then true where every stage was; `model` and `fusion` are those of the results that stand
    first, `usage` is the sum.

    `id` is the request's own. `workers` are the processes that scored a part of it, one a shard; `batch_pairs` are the
    sizes of their batches, in pairs. `route` and `route_version` say which route led to the model; None where the
    request named the model itself.
    """

    id: str
    results: list[Result]
    complete: bool
    model: ModelInfo
    timings: Timings
    usage: Usage
    batch_pairs: list[int] = Field(default_factory=list)
    workers: list[str] = Field(default_factory=list)
    fusion: FusionInfo | None = None
    experiment: Experiment | None = None
    route: str | None = None
    route_version: int | None = None
    stages: list[StageInfo] | None = None


def parse_request(query: str, documents: Sequence[str | Mapping[str, Any] | Document], **options: Any) -> RerankRequest:
    """Return a valid request; lone surrogates in texts become U+FFFD, all other text passes unchanged.

    Raises InvalidRequest that names the field.
    """
    if isinstance(documents, str | bytes):
        raise InvalidRequest("documents: a list of documents expected, not one text")
    try:
        request = RerankRequest.model_validate({"query": query, "documents": documents, **options})
    except ValidationError as error:
        raise InvalidRequest(_explain(error)) from None
    if not request.query.strip():
        raise InvalidRequest("query: is empty; a cross-encoder has nothing to compare documents with")
    if request.stages and request.model is not None:
        raise InvalidRequest("stages: give either `stages` or `model`; each stage names its own model")
    if request.tokenizer_digest is None:
        refuse_undeclared(request.contents())
    if request.scores is not None:
        _check_scores(request, request.scores)
    return request


def _check_scores(request: RerankRequest, scores: Sequence[float | None]) -> None:
    """Raise InvalidRequest unless `scores` has one item a document, and is the only place of first-stage scores."""
    if len(scores) != len(request.documents):
        raise InvalidRequest(f"scores: {len(scores)} for {len(request.documents)} documents; one for each expected")
    if any(not isinstance(document, str) and document.score is not None for document in request.documents):
        raise InvalidRequest("scores: some documents have a `score` too; give either")


def _explain(error: ValidationError) -> str:
    """Return one mistake a field, with the branches of a union folded; never the caller's text."""
    lines: dict[tuple[str, ...], str] = {}
    for item in error.errors(include_url=False, include_input=False):
        path = tuple(map(str, item["loc"]))
        if path[:1] == ("documents",):
            # The third part is the branch of the union.
            path = path[:2] + path[3:]
        is_document = path[:1] == ("documents",) and len(path) == 2
        said = item["msg"].removeprefix("Value error, ")
        if score := _score_path(path):
            path, said = score, SCORE_EXPECTED
        if item["type"] == "extra_forbidden":
            fields = RerankRequest.model_fields if len(path) == 1 else StageSpec.model_fields
            said = f"no such field{did_you_mean(path[-1], fields)}"
        lines.setdefault(path, _DOCUMENT_EXPECTED if is_document else said)
    for path in list(lines):
        # A wrong object fails as text too; only the mistake inside the object is worth showing.
        if path[:1] == ("documents",) and len(path) > 2:
            lines.pop(path[:2], None)
    shown = [f"{_name(path)}: {message}" for path, message in list(lines.items())[:_SHOWN_MISTAKES]]
    more = f" (and {len(lines) - len(shown)} more)" if len(lines) > len(shown) else ""
    return "; ".join(shown) + more


def _score_path(path: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the path of a first-stage score without the branches of its union; None for that of another field."""
    if path[:1] == ("scores",) and len(path) > 1:
        return path[:2]
    return path[:3] if path[:1] == ("documents",) and path[2:3] == ("score",) else None


def _name(path: tuple[str, ...]) -> str:
    name = ".".join(path) or "request"
    return name if len(name) <= _SHOWN_NAME_CHARS else name[:_SHOWN_NAME_CHARS] + "..."
