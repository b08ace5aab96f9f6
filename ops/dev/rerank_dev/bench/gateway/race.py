"""The gateway and its fleet against one service that calls the model itself: same model file, candidates and machine.

They take turns, round by round; who is not asked waits without work. No pair is in the cache. A closed loop: each
client sends its next request when it has its answer, so that as many are open as there are clients, until the last few.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from rerank_dev.bench.gateway import peer
from rerank_dev.bench.gateway.connection import post
from rerank_dev.bench.gateway.load import Load, Plan
from rerank_dev.bench.gateway.place import Place, cohere
from rerank_dev.bench.record import Figure
from rerank_dev.bench.scheduling.load import Query
from rerank_dev.bench.served import Served
from rerank_shared.models.catalogue import load_files
from rerank_shared.settings import bare_environ

#: Two cores run a request in half a second to a second, so three rounds take them some 17 minutes.
ROUNDS = 3
K = 50
#: Clients at once, and how many requests each of them sends in a round. Four at least, so that those that come at once
#: at the start, and those of the end, when fewer are open, don't make the figures; 20 together at least, for a p95.
EACH = {1: 20, 8: 5, 32: 4}
GATEWAY = "gateway and fleet"
PEERS = {"FastAPI, one padded batch": "/rerank", "FastAPI, one pair a run": "/rerank-unpadded"}
VARIANTS = (GATEWAY, *PEERS)
MEASURES = {"requests": "requests", "p50": "ms", "p95": "ms", "throughput": "requests/s"}
#: Of a peer's measure to the gateway's, or the other way round, so that above 1 the gateway is ahead.
RATIOS = ("p95", "throughput")
#: Variant, clients, measure.
_Key = tuple[str, int, str]


@dataclass(frozen=True, slots=True)
class _Variant:
    url: str
    encode: Callable[[str, Query], bytes]


def name_of(variant: str, clients: int, measure: str) -> str:
    """Return the name of a figure of the race."""
    return f"{variant}, {clients} client{'s' * (clients > 1)}, k={K}: {measure}"


def ratio_name(variant: str, clients: int, measure: str) -> str:
    """Return the name of how far the gateway is ahead of a peer."""
    return f"gateway ahead of {name_of(variant, clients, measure)}"


def race(place: Place) -> list[Figure]:
    """Return latencies and throughput of all variants, and in ratios of one round how far the gateway is ahead."""
    samples: dict[_Key, list[float]] = {}
    with _variants(place) as variants, Load() as load:
        for variant in variants.values():
            _drive(place, load, variant, 1, 2, "warm")
        for number in range(ROUNDS):
            for clients, each in EACH.items():
                for name, variant in variants.items():
                    found = _drive(place, load, variant, clients, each, f"race {number} {clients}")
                    for measure, value in found.items():
                        samples.setdefault((name, clients, measure), []).append(value)
    figures = [Figure.of(name_of(*key), values, MEASURES[key[2]]) for key, values in samples.items()]
    return figures + [
        Figure.of(ratio_name(peer_name, clients, measure), _ahead(samples, peer_name, clients, measure), "x")
        for clients in EACH
        for peer_name in PEERS
        for measure in RATIOS
    ]


def _ahead(samples: Mapping[_Key, list[float]], variant: str, clients: int, measure: str) -> list[float]:
    rounds = zip(samples[GATEWAY, clients, measure], samples[variant, clients, measure], strict=True)
    if measure == "throughput":
        return [ours / theirs for ours, theirs in rounds]
    return [theirs / ours for ours, theirs in rounds]


def _drive(place: Place, load: Load, variant: _Variant, clients: int, each: int, mark: str) -> Mapping[str, float]:
    # All variants get the same texts; the peer has no cache, and the fleet has not met them.
    requests = [variant.encode(variant.url, query) for query in place.queries(4, clients * each, K, mark)]
    driven = load.drive(Plan(variant.url, requests, clients)).flawless()
    return {
        "requests": len(driven.latencies_s),
        "p50": driven.latency_ms(0.5),
        "p95": driven.latency_ms(0.95),
        "throughput": driven.per_s,
    }


@contextmanager
def _variants(place: Place) -> Iterator[dict[str, _Variant]]:
    directory = load_files(place.fleet.settings.model).model_path.parent
    command = [sys.executable, "-m", "uvicorn", "--factory", f"{peer.__name__}:create_app", "--port", "0"]
    with ExitStack() as stack:
        gateway = stack.enter_context(place.gateway("race"))
        environ = bare_environ() | {peer.DIRECTORY: str(directory)}
        service = stack.enter_context(Served([*command, "--no-access-log"], environ, place.logs / "peer.log"))
        variants = {GATEWAY: _Variant(gateway.url, cohere)}
        variants |= {name: _Variant(service.url, _to(path)) for name, path in PEERS.items()}
        yield variants


def _to(path: str) -> Callable[[str, Query], bytes]:
    return lambda url, query: post(url, path, {"query": query.text, "documents": list(query.documents)})
