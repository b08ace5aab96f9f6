"""GET /fleet/state: the fleet at this moment. GET /fleet/live: the same once a second, as server-sent events."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.responses import Response, StreamingResponse

from rerank_producer.gateway.apis import FLEET
from rerank_producer.gateway.http.headers import REQUEST_ID
from rerank_producer.gateway.http.refused import Refused
from rerank_producer.gateway.routes.exchange import Exchange, served
from rerank_producer.gateway.routes.openapi import Described
from rerank_producer.gateway.watch.fleet_view import FleetView
from rerank_producer.gateway.watch.live import STREAM_HEADERS


def add_to(app: FastAPI, described: Described) -> None:
    """Add the paths of the live view."""
    refusals = (401, 403, 500, 503)
    app.add_api_route(
        "/fleet/state",
        served(FLEET, _state),
        methods=["GET"],
        summary="The fleet at this moment: queues, workers, cache, latencies, and the signal for autoscalers",
        operation_id="fleet_state",
        response_class=Response,
        responses=described.answers({200: [FleetView]}, [FLEET.error], refusals),
    )
    events = {"description": "One state a second, as `data:` of an event.", "content": {"text/event-stream": {}}}
    app.add_api_route(
        "/fleet/live",
        served(FLEET, _live),
        methods=["GET"],
        summary="The fleet, live",
        operation_id="fleet_live",
        response_class=Response,
        responses={200: events, **described.answers({}, [FLEET.error], refusals)},
    )


async def _state(exchange: Exchange) -> Response:
    exchange.key()
    view = await exchange.gateway.live.state()
    return exchange.respond(view.model_dump(by_alias=True))


async def _live(exchange: Exchange) -> Response:
    exchange.key()
    frames = exchange.gateway.live.stream(lambda: _watches(exchange))
    return StreamingResponse(frames, headers={**STREAM_HEADERS, REQUEST_ID: exchange.request_id})


async def _watches(exchange: Exchange) -> bool:
    """Whether the client is still there, and may still see it: keys are revoked while streams are open."""
    try:
        exchange.key()
    except Refused:
        return False
    return not await exchange.request.is_disconnected()
