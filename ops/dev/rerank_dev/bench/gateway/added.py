"""What a request pays for HTTP: the Python client and the gateway in turns, one request at a time.

From the cache the two latencies differ by little else. Where the model runs, that varies by more than HTTP costs; there
the cost is read off the same request, as its latency less what the client inside the gateway says it took.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Sequence

from pydantic_core import from_json

from rerank_dev.bench.gateway.connection import Connection, Reply
from rerank_dev.bench.gateway.place import DEADLINE_MS, Place, cohere, native
from rerank_dev.bench.record import Figure
from rerank_dev.bench.scheduling.load import Query
from rerank_producer import AsyncRerankClient

ROUNDS = 9
K = 50
CACHED, UNCACHED = 60, 5
LIMIT_MS = 3.0
Encode = Callable[[str, Query], bytes]


def added(place: Place) -> list[Figure]:
    """Return what the gateway adds to the client, and what both take."""
    return asyncio.run(_added(place))


async def _added(place: Place) -> list[Figure]:
    with place.gateway("added") as gateway:
        async with AsyncRerankClient(place.fleet.settings) as client, await Connection.open(gateway.url) as connection:
            lanes = _Lanes(client, connection, gateway.url)
            for query in place.queries(0, CACHED, K):
                await lanes.direct(query)
                await lanes.by_http(query, cohere)
            cached = [await _cached(place, lanes) for _ in range(ROUNDS)]
            uncached = [await _uncached(place, lanes, number) for number in range(ROUNDS)]
    return [
        Figure.of(f"added, all cached, k={K}: p50", [http - own for own, http in cached], "ms", "at most", LIMIT_MS),
        Figure.of(f"client alone, all cached, k={K}: p50", [own for own, _ in cached], "ms"),
        Figure.of(f"added, none cached, k={K}: p50", [more for *_, more in uncached], "ms", "at most", LIMIT_MS),
        Figure.of(f"the same by latencies in turns, none cached, k={K}", [h - o for o, h, _ in uncached], "ms"),
        Figure.of(f"client alone, none cached, k={K}: p50", [own for own, *_ in uncached], "ms"),
    ]


class _Lanes:
    """The two ways to the fleet."""

    def __init__(self, client: AsyncRerankClient, connection: Connection, url: str) -> None:
        self._client, self._connection, self._url = client, connection, url

    async def direct(self, query: Query) -> float:
        """Return the milliseconds of a request by the client."""
        started = time.perf_counter()
        await self._client.rerank(query.text, query.documents, deadline_ms=DEADLINE_MS, partial=False)
        return (time.perf_counter() - started) * 1000

    async def by_http(self, query: Query, encode: Encode) -> tuple[float, Reply]:
        """Return the milliseconds of a request by the gateway, and its answer."""
        # Encoding is the caller's part in both lanes: the client does it within its call.
        started = time.perf_counter()
        reply = await self._connection.ask(encode(self._url, query))
        spent_ms = (time.perf_counter() - started) * 1000
        if reply.status != 200:
            raise AssertionError(f"{reply.status}: {reply.body[:300]!r}")
        return spent_ms, reply


async def _cached(place: Place, lanes: _Lanes) -> tuple[float, float]:
    """Return the medians of both lanes over requests whose scores are all known."""
    own, http = [], []
    for query in place.queries(0, CACHED, K):
        own.append(await lanes.direct(query))
        http.append((await lanes.by_http(query, cohere))[0])
    return statistics.median(own), statistics.median(http)


async def _uncached(place: Place, lanes: _Lanes, number: int) -> tuple[float, float, float]:
    """Return the medians of both lanes over requests that are new, and of what HTTP took of those of the gateway."""
    own = [await lanes.direct(query) for query in _new(place, f"direct {number}")]
    http, added_ms = [], []
    for query in _new(place, f"gateway {number}"):
        spent_ms, reply = await lanes.by_http(query, native)
        http.append(spent_ms)
        added_ms.append(spent_ms - from_json(reply.body)["timings"]["total_ms"])
    return statistics.median(own), statistics.median(http), statistics.median(added_ms)


def _new(place: Place, mark: str) -> Sequence[Query]:
    # The same questions in both lanes; the mark makes them new.
    return place.queries(1, UNCACHED, K, mark)
