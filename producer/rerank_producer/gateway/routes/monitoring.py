"""GET /autoscale: the signal for autoscalers. GET /metrics: the gateway and the fleet, for Prometheus.

Both take a key where the gateway has keys, unless RERANK_GATEWAY_PUBLIC_METRICS is on.
"""

from __future__ import annotations

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from rerank_producer.apis import FLEET
from rerank_producer.gateway.http.headers import REQUEST_ID
from rerank_producer.gateway.routes.exchange import Exchange, served
from rerank_producer.gateway.routes.operation import Operation, Success
from rerank_producer.gateway.watch.autoscale import AutoscaleView, autoscale_view


async def _autoscale(exchange: Exchange) -> Response:
    _check_key(exchange)
    signal = await exchange.gateway.signal.read()
    return exchange.respond(autoscale_view(signal, exchange.gateway.fleet).model_dump())


async def _metrics(exchange: Exchange) -> Response:
    _check_key(exchange)
    text = await exchange.gateway.exposition.text()
    return Response(text, headers={"content-type": CONTENT_TYPE_LATEST, REQUEST_ID: exchange.request_id})


def _check_key(exchange: Exchange) -> None:
    if not exchange.gateway.settings.public_metrics:
        exchange.key()


OPERATIONS = (
    Operation(
        "/autoscale",
        served(FLEET, _autoscale),
        operation_id="autoscale",
        summary="The signal for autoscalers: what waits, and how many processes the fleet should have",
        success=Success((AutoscaleView,)),
        errors=(FLEET.error,),
        refusals=(401, 403, 500, 503),
    ),
    Operation(
        "/metrics",
        served(FLEET, _metrics),
        operation_id="metrics",
        summary="Metrics of the gateway and of the fleet, for Prometheus",
        success=Success(description="Prometheus's text format.", media_type="text/plain"),
        errors=(FLEET.error,),
        refusals=(401, 403, 500),
    ),
)
