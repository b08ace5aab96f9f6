"""GET /v1/fleet/state: the fleet at this moment. GET /v1/fleet/live: the same once a second, as server-sent events."""

from __future__ import annotations

from starlette.responses import Response, StreamingResponse

from rerank_producer.apis import FLEET
from rerank_producer.apis.common.problems import Refused
from rerank_producer.gateway.http.headers import REQUEST_ID
from rerank_producer.gateway.routes.exchange import Exchange, served
from rerank_producer.gateway.routes.operation import Operation, Success, deprecated
from rerank_producer.gateway.watch.fleet_view import FleetView
from rerank_producer.gateway.watch.live import STREAM_HEADERS


async def _state(exchange: Exchange) -> Response:
    exchange.key()
    view = await exchange.gateway.live.state()
    return exchange.respond(view.model_dump(by_alias=True))


async def _live(exchange: Exchange) -> Response:
    exchange.key()
    frames = exchange.gateway.live.stream(lambda: _may_watch(exchange))
    return StreamingResponse(frames, headers={**STREAM_HEADERS, REQUEST_ID: exchange.request_id})


async def _may_watch(exchange: Exchange) -> bool:
    """Whether the client is connected and its key still holds: keys are revoked while streams are open."""
    try:
        exchange.key()
    except Refused:
        return False
    return not await exchange.request.is_disconnected()


_REFUSALS = (401, 403, 500, 503)
_STATE = Operation(
    "/v1/fleet/state",
    served(FLEET, _state),
    operation_id="v1_fleet_state",
    summary="The fleet at this moment: queues, workers, cache, latencies, and the signal for autoscalers",
    success=Success((FleetView,)),
    errors=(FLEET.error,),
    refusals=_REFUSALS,
)
_LIVE = Operation(
    "/v1/fleet/live",
    served(FLEET, _live),
    operation_id="v1_fleet_live",
    summary="The fleet, live",
    success=Success(description="One state a second, as `data:` of an event.", media_type="text/event-stream"),
    errors=(FLEET.error,),
    refusals=_REFUSALS,
)
OPERATIONS = (_STATE, deprecated(_STATE, "/fleet/state"), _LIVE, deprecated(_LIVE, "/fleet/live"))
