"""POST /v1/feedback: what was shown of an answer, and what of it was clicked. It costs a key one token a document."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel
from starlette.responses import Response

from rerank_producer import metrics
from rerank_producer.apis.fleet import FLEET
from rerank_producer.gateway.auth.keyring import ApiKey
from rerank_producer.gateway.routes.exchange import Exchange, served
from rerank_producer.gateway.routes.openapi import REQUEST_ID_HEADER
from rerank_producer.gateway.routes.operation import Operation, Success
from rerank_shared.contract.feedback import FeedbackRequest, parse_feedback, record_of
from rerank_shared.errors import InvalidRequest


class FeedbackStored(BaseModel):
    """Feedback that was kept."""

    request_id: str
    status: Literal["stored"]


async def _feedback(exchange: Exchange) -> Response:
    with exchange.gateway.open_request():
        key = exchange.key()
        body = await exchange.body(key)
        try:
            request, record = _read(body, key, exchange)
        except InvalidRequest:
            metrics.FEEDBACK.labels("invalid").inc()
            raise
        gateway, headers = exchange.gateway, {}
        if key is not None and key.tokens_per_s is not None:
            headers = (await gateway.token_buckets.take(key, len(request.shown))).headers
        # Not dropped with the connection: a page tells of a click while it is being left.
        await gateway.feedback_writer.write(record)
        return exchange.respond({"request_id": request.request_id, "status": "stored"}, status=202, headers=headers)


def _read(body: Any, key: ApiKey | None, exchange: Exchange) -> tuple[FeedbackRequest, bytes]:
    """Return the feedback of a body, and the record that is kept of it. Raises InvalidRequest."""
    if not isinstance(body, dict):
        raise InvalidRequest("request: a JSON object expected")
    if len(body) > len(FeedbackRequest.model_fields):
        raise InvalidRequest(f"request: {len(body)} fields, of which some are unknown here")
    request = parse_feedback(**body)
    return request, record_of(request, exchange.gateway.fleet, tenant=None if key is None else key.tenant)


OPERATIONS = (
    Operation(
        "/v1/feedback",
        served(FLEET, _feedback),
        operation_id="feedback",
        summary="Tell what was shown of an answer, and what of it was clicked",
        description="Ids and ranks are kept, and a digest of the query; no texts, unless whoever runs this says so.",
        methods=("POST",),
        parameters=(REQUEST_ID_HEADER,),
        requests=(FeedbackRequest,),
        success=Success((FeedbackStored,), status=202, description="Kept."),
        errors=(FLEET.error,),
        refusals=(400, 401, 403, 408, 413, 415, 429, 500, 503),
    ),
)
