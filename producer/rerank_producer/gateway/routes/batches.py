"""Batches, as OpenAI's clients use them: POST and GET of /v1/batches, and cancel.

A batch belongs to the key that made it; to others it does not exist.
"""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.responses import Response

from rerank_producer.apis.common.call import Problem
from rerank_producer.apis.common.generic_error import GENERIC_ERRORS
from rerank_producer.apis.common.problems import Refused
from rerank_producer.gateway.batches.file_store import disk_full
from rerank_producer.gateway.batches.ids import new_batch_id
from rerank_producer.gateway.batches.records import BatchRecord, Terms
from rerank_producer.gateway.batches.service import Batches
from rerank_producer.gateway.batches.shapes import BatchList, BatchRequest, BatchView, batch_view, read_batch_request
from rerank_producer.gateway.models.directory import ModelDirectory
from rerank_producer.gateway.routes.exchange import Exchange, served
from rerank_producer.gateway.routes.files import PAGE, REFUSALS, opened, paged
from rerank_producer.gateway.routes.operation import Operation, Parameter, Success
from rerank_shared.errors import InvalidRequest, QueueUnavailable

#: Longer a batch is not held up to be looked at.
_LOOK_S = 0.5


async def _create(exchange: Exchange) -> Response:
    with exchange.gateway.open_request():
        batches, owner = opened(exchange)
        key = exchange.key()
        request, window_s = read_batch_request(await exchange.body(key))
        if await batches.blocking(batches.files.find, owner, request.input_file_id) is None:
            message = f"input_file_id: there is no file {request.input_file_id!r}"
            raise Refused(Problem(404, "not_found", message))
        settings = exchange.gateway.settings
        now, keep_s = int(batches.batches.clock()), settings.batch_keep_s
        if request.output_expires_after is not None:
            keep_s = min(keep_s, request.output_expires_after.seconds)
        record = BatchRecord(
            id=new_batch_id(),
            owner=owner,
            endpoint=request.endpoint,
            input_file_id=request.input_file_id,
            completion_window=request.completion_window,
            created_at=now,
            expires_at=now + window_s,
            keep_s=keep_s,
            metadata=request.metadata,
            terms=Terms.of(key, settings.max_body_bytes),
        )
        try:
            await batches.blocking(batches.batches.create, record)
        except OSError as error:
            raise disk_full(error) or error from None
        batches.look()
        return exchange.respond(batch_view(record))


async def _list(exchange: Exchange) -> Response:
    with exchange.gateway.open_request():
        batches, owner = opened(exchange)
        records = await batches.blocking(batches.batches.all_of, owner)
        listed = paged(exchange, [{"id": each.id} for each in records])
        by_id = {each.id: each for each in records}
        # Together, so that a queue that is away holds up the page once.
        views = [_view(exchange, batches, by_id[each["id"]]) for each in listed["data"]]
        listed["data"] = await asyncio.gather(*views)
        return exchange.respond(listed)


async def _batch(exchange: Exchange) -> Response:
    with exchange.gateway.open_request():
        batches, owner = opened(exchange)
        return exchange.respond(await _view(exchange, batches, await _own(exchange, batches, owner)))


async def _cancel(exchange: Exchange) -> Response:
    with exchange.gateway.open_request():
        batches, owner = opened(exchange)
        record = await _own(exchange, batches, owner)
        if record.ended or record.ending not in (None, "cancelled"):
            if record.status != "cancelled":
                raise InvalidRequest(f"the batch is {record.status} and can't be cancelled any more")
        else:
            await batches.blocking(batches.batches.ask_to_cancel, owner, record.id)
            batches.look()
        return exchange.respond(await _view(exchange, batches, record))


async def _own(exchange: Exchange, batches: Batches, owner: str) -> BatchRecord:
    """Return the batch that the path names, if it is the caller's. Raises Refused."""
    record = await batches.blocking(batches.batches.find, owner, str(exchange.request.path_params["batch_id"]))
    if record is None:
        raise Refused(Problem(404, "not_found", "no such batch, or it was kept for its time and is gone"))
    return record


async def _view(exchange: Exchange, batches: Batches, record: BatchRecord) -> dict[str, Any]:
    waiting_for = await _waiting_for(exchange.gateway.models, record)
    return await batches.blocking(_seen, batches, record, waiting_for)


async def _waiting_for(models: ModelDirectory, record: BatchRecord) -> str | None:
    """Return what keeps a batch from going on, as far as this gateway knows."""
    if record.status not in ("validating", "in_progress"):
        return None
    try:
        async with asyncio.timeout(_LOOK_S):
            names = await models.names()
    except (QueueUnavailable, TimeoutError):
        return "the queue, which is away"
    if record.model is None:
        return None if names else "a worker: none has announced a model yet"
    return None if models.is_available(record.model) else f"a live worker that serves {record.model}"


def _seen(batches: Batches, record: BatchRecord, waiting_for: str | None) -> dict[str, Any]:
    """Return a batch as it is at this moment, whichever process carries it out."""
    store = batches.batches
    if record.status == "in_progress":
        totals, _ = store.progress(record.owner, record.id)
        failed = totals.failed_queries
        record = record.model_copy(update={"completed": totals.queries - failed, "failed": failed})
    asked_at = store.cancel_asked_at(record.owner, record.id)
    return batch_view(record, cancel_asked_at=asked_at, waiting_for=waiting_for)


_BATCH_ID: Parameter = {"name": "batch_id", "in": "path", "required": True, "schema": {"type": "string"}}
OPERATIONS = (
    Operation(
        "/v1/batches",
        served(GENERIC_ERRORS, _create),
        operation_id="create_batch",
        summary="Score a file of requests",
        description="The lines are OpenAI's: `custom_id`, `method`, `url`, `body`. Off unless RERANK_GATEWAY_BATCH_DIR "
        "is set.",
        methods=("POST",),
        requests=(BatchRequest,),
        success=Success((BatchView,)),
        errors=(GENERIC_ERRORS.error,),
        refusals=(400, 401, 403, 404, 408, 413, 415, 429, 500, 503, 507),
    ),
    Operation(
        "/v1/batches",
        served(GENERIC_ERRORS, _list),
        operation_id="batches",
        summary="The key's batches",
        parameters=PAGE,
        success=Success((BatchList,)),
        errors=(GENERIC_ERRORS.error,),
        refusals=REFUSALS,
    ),
    Operation(
        "/v1/batches/{batch_id}",
        served(GENERIC_ERRORS, _batch),
        operation_id="batch",
        summary="How a batch stands",
        parameters=(_BATCH_ID,),
        success=Success((BatchView,)),
        errors=(GENERIC_ERRORS.error,),
        refusals=REFUSALS,
    ),
    Operation(
        "/v1/batches/{batch_id}/cancel",
        served(GENERIC_ERRORS, _cancel),
        operation_id="cancel_batch",
        summary="Cancel a batch; what is done by then is kept",
        methods=("POST",),
        parameters=(_BATCH_ID,),
        success=Success((BatchView,)),
        errors=(GENERIC_ERRORS.error,),
        refusals=REFUSALS,
    ),
)
