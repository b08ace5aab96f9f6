"""How many fully cached requests a second one gateway process answers on one core, and what limits it.

The gateway has a core to itself; the load and the server share the other. What each of them used of its core tells
which of them was the limit.
"""

from __future__ import annotations

from dataclasses import dataclass

import psutil

from rerank_dev.bench.gateway.load import Load, Plan
from rerank_dev.bench.gateway.place import Place, cohere, two_cores
from rerank_dev.bench.record import Figure
from rerank_dev.bench.served import Served, cpu_s, pin

ROUNDS = 9
SECONDS = 3.0
K = 20
CLIENTS = 16
QUESTIONS = 60
LIMIT_PER_S = 300


@dataclass(frozen=True, slots=True)
class _Round:
    per_s: float
    p95_ms: float
    cpu_ms: float
    gateway_share: float
    waited_share: float
    server_share: float
    load_share: float


def cached_rate(place: Place) -> list[Figure]:
    """Return the rate, and who used how much of a core for it."""
    own_core, other_core = two_cores()
    with place.gateway("cached-rate") as gateway, Load(other_core) as load:
        requests = [cohere(gateway.url, query) for query in place.queries(2, QUESTIONS, K)]
        load.drive(Plan(gateway.url, requests, clients=2)).flawless()
        gateway.pin(own_core)
        assert place.server.pid is not None
        pin(place.server.pid, other_core)
        repeated = Plan(gateway.url, requests, CLIENTS, for_s=SECONDS)
        load.drive(repeated).flawless()
        rounds = [_measured(place, gateway, load, repeated) for _ in range(ROUNDS)]
        _unpin(place.server.pid)
    name = f"all cached, k={K}, one process on one core"
    return [
        Figure.of(name, [each.per_s for each in rounds], "requests/s", "at least", LIMIT_PER_S),
        Figure.of(f"{name}: p95 with {CLIENTS} in flight", [each.p95_ms for each in rounds], "ms"),
        Figure.of(f"{name}: processor time of each", [each.cpu_ms for each in rounds], "ms"),
        Figure.of(f"{name}: the gateway's use of its core", [each.gateway_share for each in rounds], "share"),
        Figure.of(f"{name}: its wait for that core, which others had", [each.waited_share for each in rounds], "share"),
        Figure.of(f"{name}: the server's use of the other", [each.server_share for each in rounds], "share"),
        Figure.of(f"{name}: the load's use of the other", [each.load_share for each in rounds], "share"),
    ]


def _measured(place: Place, gateway: Served, load: Load, plan: Plan) -> _Round:
    assert place.server.pid is not None
    gateway_s, waited_s, server_s = gateway.cpu_s(), gateway.waited_s(), cpu_s(place.server.pid)
    driven = load.drive(plan).flawless()
    waited_s = gateway.waited_s() - waited_s
    gateway_s, server_s = gateway.cpu_s() - gateway_s, cpu_s(place.server.pid) - server_s
    return _Round(
        per_s=driven.per_s,
        p95_ms=driven.latency_ms(0.95),
        cpu_ms=1000 * gateway_s / len(driven.latencies_s),
        gateway_share=gateway_s / driven.seconds,
        waited_share=waited_s / driven.seconds,
        server_share=server_s / driven.seconds,
        load_share=driven.load_cpu_s / driven.seconds,
    )


def _unpin(pid: int) -> None:
    psutil.Process(pid).cpu_affinity([])
