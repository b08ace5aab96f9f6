"""Feedback at the edge: what a caller tells of one answer, checked, and the record that is kept of it. Pure.

Texts leave no trace in the record unless the settings say so: of a query its digest is kept, of a document its id.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError

from rerank_shared.contract import wire
from rerank_shared.contract.messages import Feedback
from rerank_shared.contract.schemas import MAX_ID_CHARS, Name, Text, encodable
from rerank_shared.contract.swaps import swap_rank
from rerank_shared.errors import InvalidRequest
from rerank_shared.nearest import did_you_mean
from rerank_shared.settings.feedback import FeedbackSettings

#: Nobody looks at more results of one answer; the rest need not be told.
MAX_SHOWN = 100
#: Bytes of one record, texts included.
MAX_RECORD_BYTES = 262_144
_ID_EXPECTED = f"an id of 1 to {MAX_ID_CHARS:,} characters, or an object with `id` or `text`, expected"
#: Hexadecimal digits of a digest: 128 bits.
_DIGEST_CHARS = 32
_OF_TEXT = "sha256:"

RequestId = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,128}$", strict=True)]
Id = Annotated[Text, Field(min_length=1, max_length=MAX_ID_CHARS)]


class ShownDocument(BaseModel):
    """A document by its `id`; where it has none, by the digest of its `text`. Other fields are ignored."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    id: Id | None = None
    text: Text | None = None

    _encodable = field_validator("id", "text", mode="before")(encodable)

    @model_validator(mode="after")
    def _either(self) -> Self:
        if self.id is None and self.text is None:
            raise PydanticCustomError("document_id", _ID_EXPECTED)
        return self

    @property
    def name(self) -> str:
        """The id that is kept."""
        return self.id if self.id is not None else document_digest(self.text or "")


Shown = Annotated[list[Id | ShownDocument], Field(max_length=MAX_SHOWN, fail_fast=True)]


class FeedbackRequest(BaseModel):
    """What was shown of one answer, in the order in which it was shown, and what of it was clicked.

    `request_id` is the `id` of the response, or what the header X-Rerank-Id says. Documents are named by their ids, or
    by their texts where they have none. `query` is its text, `query_id` your own name of it; without both, the query is
    known by the request alone. Tell again when more is clicked: what is told of one request is joined.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    request_id: RequestId
    shown: Annotated[Shown, Field(min_length=1)]
    clicked: Shown = Field(default_factory=list)
    query: Annotated[Text, Field(min_length=1)] | None = None
    query_id: Id | None = None
    tenant: Name = ""

    _encodable = field_validator("query", "query_id", mode="before")(encodable)

    @field_validator("shown", "clicked", mode="before")
    @classmethod
    def _encodable_ids(cls, value: Any) -> Any:
        return [encodable(each) for each in value] if isinstance(value, Sequence) and not _is_text(value) else value


def parse_feedback(**fields: Any) -> FeedbackRequest:
    """Return valid feedback. Raises InvalidRequest that names the field, and never repeats the caller's text."""
    try:
        request = FeedbackRequest.model_validate(fields)
    except ValidationError as error:
        raise InvalidRequest(_explain(error)) from None
    shown = [_name(each) for each in request.shown]
    if len(set(shown)) != len(shown):
        raise InvalidRequest("shown: a document stands in it twice")
    if not {_name(each) for each in request.clicked} <= set(shown):
        raise InvalidRequest("clicked: a document that was not shown")
    return request


def record_of(request: FeedbackRequest, settings: FeedbackSettings, *, tenant: str | None = None) -> bytes:
    """Return the record that is kept of feedback, as bytes; `tenant` in place of the request's own.

    Raises InvalidRequest for one that is too large.
    """
    shown = tuple(_name(each) for each in request.shown)
    clicked = {_name(each) for each in request.clicked}
    swapped = swap_rank(request.request_id, settings.feedback_swap_share) or 0
    texts = tuple(None if isinstance(each, str) else each.text for each in request.shown)
    keeps = settings.feedback_texts
    record = wire.encode_feedback(
        Feedback(
            request_id=request.request_id,
            shown=shown,
            clicked=tuple(rank for rank, each in enumerate(shown, start=1) if each in clicked),
            tenant=request.tenant if tenant is None else tenant,
            query_id=request.query_id,
            query_digest="" if request.query is None else query_digest(request.query),
            swapped_rank=swapped,
            query=request.query if keeps else None,
            texts=texts if keeps and any(text is not None for text in texts) else (),
        )
    )
    if len(record) > MAX_RECORD_BYTES:
        raise InvalidRequest(
            f"request: {len(record):,} bytes are to be kept of it, and {MAX_RECORD_BYTES:,} are the limit"
        )
    return record


def query_digest(text: str) -> str:
    """Return what is kept of a query: 128 bits of its SHA-256, in hexadecimal. Whoever guesses the query finds it."""
    return sha256(encodable(text).encode()).hexdigest()[:_DIGEST_CHARS]


def document_digest(text: str) -> str:
    """Return the id of a document that has none."""
    return _OF_TEXT + sha256(encodable(text).encode()).hexdigest()[:_DIGEST_CHARS]


def _name(document: str | ShownDocument) -> str:
    return document if isinstance(document, str) else document.name


def _is_text(value: Any) -> bool:
    return isinstance(value, str | bytes | bytearray)


def _explain(error: ValidationError) -> str:
    """Return the first mistake: the field and what was expected."""
    items = error.errors(include_url=False, include_input=False)
    # A document fails in each branch of its union; the last one knows most.
    item = [each for each in items if each["loc"][:2] == items[0]["loc"][:2]][-1]
    path = list(map(str, item["loc"]))
    if item["type"] == "extra_forbidden":
        return f"{path[0][:64]}: no such field{did_you_mean(path[0], FeedbackRequest.model_fields)}"
    if path[:1] in (["shown"], ["clicked"]) and len(path) > 1:
        # What follows are the branches of a union, of which the message knows one.
        expected = item["msg"] if path[3:] else _ID_EXPECTED
        return f"{'.'.join(path[:2] + path[3:])}: {expected}"
    return f"{path[0] if path else 'request'}: {item['msg']}"
