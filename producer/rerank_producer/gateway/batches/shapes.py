"""Files and batches as OpenAI's clients read and write them, and the records of which these are made. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, Field

from rerank_producer.apis.common.validation import Body, read
from rerank_producer.gateway.batches.records import BatchRecord, Endpoint, ExpiresAfter, FileRecord, Status
from rerank_shared.errors import InvalidRequest

_WINDOW = re.compile(r"([1-9][0-9]{0,4})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
#: Longer than files are kept by default.
_LONGEST_WINDOW_S = 90 * 86_400
_MAX_METADATA = 16
_Label = Annotated[str, Field(max_length=64)]


class FileView(BaseModel):
    """A stored file."""

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    expires_at: int
    filename: str
    purpose: Literal["batch", "batch_output"]
    status: Literal["processed"] = "processed"
    status_details: None = None


class FileList(BaseModel):
    """Stored files."""

    object: Literal["list"]
    data: list[FileView]
    first_id: str | None
    last_id: str | None
    has_more: bool


class FileDeleted(BaseModel):
    """A file that is gone."""

    id: str
    object: Literal["file"]
    deleted: bool


class FileUpload(BaseModel):
    """A form that uploads a file."""

    file: str = Field(description="The lines: one JSON object each.", json_schema_extra={"format": "binary"})
    purpose: Literal["batch"]
    expires_after: ExpiresAfter | None = Field(
        None, description="When the file goes; sent as `expires_after[anchor]` and `expires_after[seconds]`."
    )


class BatchRequest(Body):
    """Body of `POST /v1/batches`."""

    expected: ClassVar[dict[str, str]] = {
        "input_file_id": "the id of an uploaded file expected",
        "endpoint": "/v1/rerank, /v2/rerank or /v1/score expected",
        "completion_window": "a time such as 24h expected: a whole number and s, m, h or d",
        "metadata": "an object of up to 16 texts of up to 512 characters, by names of up to 64, expected",
        "output_expires_after": "the anchor created_at, and seconds from 3600, expected",
    }

    input_file_id: str = Field(max_length=100, description="An uploaded file with a request a line.")
    endpoint: Endpoint = Field(description="What every line asks; the same as its `url`.")
    completion_window: str = Field(max_length=20, description="After so long it expires, with what was done by then.")
    metadata: dict[_Label, Annotated[str, Field(max_length=512)]] | None = Field(None, max_length=_MAX_METADATA)
    output_expires_after: ExpiresAfter | None = Field(None, description="When its output goes; else as all files.")


class BatchMistake(BaseModel):
    """Why a batch failed."""

    code: str
    line: int | None = Field(description="Of the input, from 1.")
    message: str
    param: str | None


class BatchMistakes(BaseModel):
    """Why a batch failed; the first ones."""

    object: Literal["list"]
    data: list[BatchMistake]


class RequestCounts(BaseModel):
    """Lines of a batch."""

    total: int
    completed: int
    failed: int


class BatchView(BaseModel):
    """A batch as it stands."""

    id: str
    object: Literal["batch"]
    endpoint: Endpoint
    model: str | None = Field(description="The model that scores.")
    errors: BatchMistakes | None
    input_file_id: str
    completion_window: str
    status: Status
    output_file_id: str | None = Field(description="A file with a line for each request that was answered.")
    error_file_id: str | None = Field(description="A file with a line for each request that was not.")
    created_at: int
    in_progress_at: int | None
    expires_at: int
    finalizing_at: int | None
    completed_at: int | None
    failed_at: int | None
    expired_at: int | None
    cancelling_at: int | None
    cancelled_at: int | None
    request_counts: RequestCounts
    metadata: dict[str, str] | None
    waiting_for: str | None = Field(description="What it can't go on without, and has not now: a worker of its model.")


class BatchList(BaseModel):
    """Batches, newest first."""

    object: Literal["list"]
    data: list[BatchView]
    first_id: str | None
    last_id: str | None
    has_more: bool


def read_batch_request(body: Any) -> tuple[BatchRequest, int]:
    """Return the body of `POST /v1/batches`, and its window in seconds. Raises InvalidRequest that names the field."""
    request = read(BatchRequest, body)
    match = _WINDOW.fullmatch(request.completion_window)
    seconds = int(match[1]) * _SECONDS[match[2]] if match else 0
    if not 0 < seconds <= _LONGEST_WINDOW_S:
        days = _LONGEST_WINDOW_S // _SECONDS["d"]
        raise InvalidRequest(f"completion_window: {BatchRequest.expected['completion_window']}; up to {days}d")
    return request, seconds


def file_view(record: FileRecord) -> dict[str, Any]:
    """Return a file as clients read it."""
    return FileView(**record.model_dump()).model_dump()


def batch_view(
    record: BatchRecord, *, cancel_asked_at: int | None = None, waiting_for: str | None = None
) -> dict[str, Any]:
    """Return a batch as clients read it. One that somebody asked to cancel, and that goes on, is cancelling."""
    fields = {name: getattr(record, name) for name in BatchView.model_fields if name in BatchRecord.model_fields}
    if cancel_asked_at is not None and not record.ended and record.ending is None:
        fields |= {"status": "cancelling", "cancelling_at": cancel_asked_at}
    errors = [each.model_dump() for each in record.errors]
    return {
        **fields,
        "object": "batch",
        "errors": {"object": "list", "data": errors} if errors else None,
        "waiting_for": waiting_for,
        "request_counts": {"total": record.total, "completed": record.completed, "failed": record.failed},
    }


def page(views: Sequence[dict[str, Any]], *, after: str | None, limit: int) -> dict[str, Any]:
    """Return a page of a list: at most `limit` behind the one whose id is `after`. Raises InvalidRequest."""
    start = 0
    if after:
        ids = [each["id"] for each in views]
        if after not in ids:
            raise InvalidRequest(f"after: {after[:100]!r} is the id of none of these")
        start = ids.index(after) + 1
    shown = views[start : start + limit]
    return {
        "object": "list",
        "data": shown,
        "first_id": shown[0]["id"] if shown else None,
        "last_id": shown[-1]["id"] if shown else None,
        "has_more": len(views) > start + limit,
    }
