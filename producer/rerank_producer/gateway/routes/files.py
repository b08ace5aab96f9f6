"""Stored files, as OpenAI's clients use them: POST, GET and DELETE of /v1/files.

A file belongs to the key that it came with; to others it does not exist.
"""

from __future__ import annotations

from typing import Any

from starlette.responses import FileResponse, Response

from rerank_producer.apis.common.call import Problem
from rerank_producer.apis.common.generic_error import GENERIC_ERRORS
from rerank_producer.apis.common.problems import Refused
from rerank_producer.gateway.batches.ids import owner_of
from rerank_producer.gateway.batches.records import FileRecord
from rerank_producer.gateway.batches.service import Batches
from rerank_producer.gateway.batches.shapes import FileDeleted, FileList, FileUpload, FileView, file_view, page
from rerank_producer.gateway.batches.upload import UploadLimits, receive_file
from rerank_producer.gateway.http.headers import REQUEST_ID
from rerank_producer.gateway.routes.exchange import Exchange, served
from rerank_producer.gateway.routes.operation import Operation, Parameter, Success
from rerank_shared.errors import InvalidRequest

#: OpenAI's own is 10,000, for files.
_MAX_PAGE = 1_000
_PURPOSES = ("batch", "batch_output")


def opened(exchange: Exchange) -> tuple[Batches, str]:
    """Return the batches of the gateway, and whose the caller sees. Raises Refused."""
    owner = owner_of(exchange.key())
    batches = exchange.gateway.batches
    if batches is None:
        message = "files and batches are off at this gateway; whoever runs it can set RERANK_GATEWAY_BATCH_DIR"
        raise Refused(Problem(404, "not_found", message))
    return batches, owner


def paged(exchange: Exchange, views: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the page of a list that the query asks for. Raises InvalidRequest."""
    query = exchange.request.query_params
    limit = query.get("limit", "20")
    if not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:9]) <= 10_000):
        raise InvalidRequest("limit: a whole number from 1 to 10000 expected")
    if (order := query.get("order", "desc")) not in ("asc", "desc"):
        raise InvalidRequest("order: asc or desc expected")
    ordered = views if order == "desc" else views[::-1]
    return page(ordered, after=query.get("after"), limit=min(int(limit[:9]), _MAX_PAGE))


async def _upload(exchange: Exchange) -> Response:
    with exchange.gateway.open_request():
        batches, owner = opened(exchange)
        settings = exchange.gateway.settings
        limits = UploadLimits(
            settings.batch_file_bytes, settings.batch_upload_s, settings.body_timeout_s, settings.batch_keep_s
        )
        request = exchange.request
        record = await receive_file(request.receive, request.headers, batches.files, owner, limits)
        return exchange.respond(file_view(record))


async def _list(exchange: Exchange) -> Response:
    with exchange.gateway.open_request():
        batches, owner = opened(exchange)
        purpose = exchange.request.query_params.get("purpose")
        if purpose is not None and purpose not in _PURPOSES:
            raise InvalidRequest(f"purpose: one of {', '.join(_PURPOSES)} expected")
        records = await batches.blocking(batches.files.all_of, owner)
        return exchange.respond(
            paged(exchange, [file_view(each) for each in records if purpose in (None, each.purpose)])
        )


async def _file(exchange: Exchange) -> Response:
    with exchange.gateway.open_request():
        batches, owner = opened(exchange)
        return exchange.respond(file_view(await _own(exchange, batches, owner)))


async def _content(exchange: Exchange) -> Response:
    with exchange.gateway.open_request():
        batches, owner = opened(exchange)
        record = await _own(exchange, batches, owner)
        return FileResponse(
            batches.files.content(owner, record.id),
            media_type="application/jsonl",
            filename=record.filename,
            headers={REQUEST_ID: exchange.request_id, "x-content-type-options": "nosniff"},
        )


async def _delete(exchange: Exchange) -> Response:
    with exchange.gateway.open_request():
        batches, owner = opened(exchange)
        record = await _own(exchange, batches, owner)
        await batches.blocking(batches.files.remove, owner, record.id)
        batches.look()
        return exchange.respond({"id": record.id, "object": "file", "deleted": True})


async def _own(exchange: Exchange, batches: Batches, owner: str) -> FileRecord:
    """Return the file that the path names, if it is the caller's. Raises Refused."""
    record = await batches.blocking(batches.files.find, owner, str(exchange.request.path_params["file_id"]))
    if record is None:
        raise Refused(Problem(404, "not_found", "no such file, or it was kept for its time and is gone"))
    return record


_FILE_ID: Parameter = {"name": "file_id", "in": "path", "required": True, "schema": {"type": "string"}}
#: Of every list.
PAGE: tuple[Parameter, ...] = (
    {"name": "after", "in": "query", "description": "Id of the last one before.", "schema": {"type": "string"}},
    {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 10_000, "default": 20}},
    {"name": "order", "in": "query", "schema": {"type": "string", "enum": ["asc", "desc"]}},
)
_PURPOSE: Parameter = {"name": "purpose", "in": "query", "schema": {"type": "string", "enum": list(_PURPOSES)}}
REFUSALS = (400, 401, 403, 404, 500, 503)
OPERATIONS = (
    Operation(
        "/v1/files",
        served(GENERIC_ERRORS, _upload),
        operation_id="upload_file",
        summary="Upload a file of requests for a batch",
        description="A form with the parts `file` and `purpose`. Off unless RERANK_GATEWAY_BATCH_DIR is set.",
        methods=("POST",),
        requests=(FileUpload,),
        request_media_type="multipart/form-data",
        success=Success((FileView,)),
        errors=(GENERIC_ERRORS.error,),
        refusals=(400, 401, 403, 404, 408, 413, 415, 500, 503, 507),
    ),
    Operation(
        "/v1/files",
        served(GENERIC_ERRORS, _list),
        operation_id="files",
        summary="The key's files",
        parameters=(*PAGE, _PURPOSE),
        success=Success((FileList,)),
        errors=(GENERIC_ERRORS.error,),
        refusals=REFUSALS,
    ),
    Operation(
        "/v1/files/{file_id}",
        served(GENERIC_ERRORS, _file),
        operation_id="file",
        summary="A file, without its content",
        parameters=(_FILE_ID,),
        success=Success((FileView,)),
        errors=(GENERIC_ERRORS.error,),
        refusals=REFUSALS,
    ),
    Operation(
        "/v1/files/{file_id}/content",
        served(GENERIC_ERRORS, _content),
        operation_id="file_content",
        summary="The content of a file",
        parameters=(_FILE_ID,),
        success=Success(description="The lines.", media_type="application/jsonl"),
        errors=(GENERIC_ERRORS.error,),
        refusals=REFUSALS,
    ),
    Operation(
        "/v1/files/{file_id}",
        served(GENERIC_ERRORS, _delete),
        operation_id="delete_file",
        summary="Remove a file",
        description="A batch that still reads it fails.",
        methods=("DELETE",),
        parameters=(_FILE_ID,),
        success=Success((FileDeleted,)),
        errors=(GENERIC_ERRORS.error,),
        refusals=REFUSALS,
    ),
)
