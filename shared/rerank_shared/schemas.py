"""What crosses the public edge, as pydantic models: the request a caller sends and the response it gets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rerank_shared.errors import InvalidRequest
from rerank_shared.keys import JobClass

#: A special token on each side and between, and at least one token of text.
MIN_LENGTH = 8


class Document(BaseModel):
    """A candidate. `id` and `metadata` come back in its result; only `text` is scored."""

    model_config = ConfigDict(frozen=True)

    text: str
    id: str | None = None
    metadata: dict[str, Any] | None = None


class RerankRequest(BaseModel):
    """One query and its candidates, in first-stage order (best first, if there is an order).

    `deadline_ms` counts from the call and may be 0 or below (a budget already spent); None means the default of the
    class. `model` None means the one that settings name.
    """

    model_config = ConfigDict(frozen=True, populate_by_name=True, extra="forbid")

    query: str
    documents: list[str | Document]
    top_n: Annotated[int, Field(ge=1)] | None = None
    max_length: Annotated[int, Field(ge=MIN_LENGTH)] | None = None
    deadline_ms: Annotated[float, Field(allow_inf_nan=False)] | None = None
    job_class: Annotated[JobClass, Field(alias="class")] = "interactive"
    model: str | None = None

    def texts(self) -> list[str]:
        """Return the text of each document, in order."""
        return [d if isinstance(d, str) else d.text for d in self.documents]


class Result(BaseModel):
    """One document's place in the answer. An unscored one has neither score nor logit.

    `tokens` counts the pair after truncation; `truncated` says that text was cut to fit; `cached` that no model ran.
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


class Timings(BaseModel):
    """Milliseconds of each stage. `total_ms`, `cache_ms` and `enqueue_ms` are the client's; the rest the worker's."""

    total_ms: float = 0.0
    cache_ms: float = 0.0
    enqueue_ms: float = 0.0
    queue_ms: float = 0.0
    tokenize_ms: float = 0.0
    batch_ms: float = 0.0
    run_ms: float = 0.0


class ModelInfo(BaseModel):
    """Which weights made the scores. Digest and precision are unknown while no worker has announced itself."""

    name: str
    digest: str | None = None
    precision: str | None = None
    max_length: int | None = None


class Usage(BaseModel):
    """Work done for this request: tokens that the model ran (cached pairs cost none), and pairs by origin."""

    tokens: int = 0
    pairs_run: int = 0
    pairs_cached: int = 0


class RerankResponse(BaseModel):
    """The answer, best first. Where `complete` is false, unscored documents stand last in first-stage order."""

    id: str
    results: list[Result]
    complete: bool
    model: ModelInfo
    timings: Timings
    usage: Usage
    batch_pairs: list[int] = Field(default_factory=list)
    worker: str | None = None


def parse_request(query: str, documents: Sequence[str | Mapping[str, Any] | Document], **options: Any) -> RerankRequest:
    """Return a valid request; lone surrogates in texts become U+FFFD, all other text passes unchanged.

    Raises InvalidRequest that names the field.
    """
    if isinstance(documents, str | bytes):
        raise InvalidRequest("documents: a list of documents expected, not one text")
    values = {"query": query, "documents": documents, **options}
    try:
        request = RerankRequest.model_validate(values)
        if not all(map(_is_encodable, _strings(request))):
            request = RerankRequest.model_validate(_without_surrogates(values))
    except ValidationError as error:
        raise InvalidRequest(_explain(error)) from None
    if not request.query.strip():
        raise InvalidRequest("query: is empty; a cross-encoder has nothing to compare documents with")
    return request


def _strings(request: RerankRequest) -> Iterator[str]:
    """Yield every string that leaves this process; metadata stays."""
    yield request.query
    yield request.model or ""
    for document in request.documents:
        if isinstance(document, str):
            yield document
        else:
            yield document.text
            yield document.id or ""


def _is_encodable(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, Document):
        return _without_surrogates(value.__dict__)
    if isinstance(value, Mapping):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_surrogates(item) for item in value]
    return value


def _explain(error: ValidationError) -> str:
    """One line a field, the union's branches folded, never the caller's text."""
    lines: dict[str, str] = {}
    for item in error.errors(include_url=False, include_input=False):
        path = [str(part) for part in item["loc"] if part not in ("str", "Document")]
        name = ".".join(path) or "request"
        message = item["msg"]
        if path[:1] == ["documents"] and len(path) == 2:
            message = "a text, or an object with `text`, expected"
        lines.setdefault(name, message)
    shown = list(lines.items())[:5]
    more = f" (and {len(lines) - len(shown)} more)" if len(lines) > len(shown) else ""
    return "; ".join(f"{name}: {message}" for name, message in shown) + more
