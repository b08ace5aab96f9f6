"""`make bench`: what the fleet costs over a bare session, idle and saturated, cached and not, and in memory.

Texts are the demo's: questions over the documentation of Python's standard library, candidates by BM25. The bare loop
is the worker's own engine over the same pairs, already tokenized and sorted by length, one pinned process a core.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import psutil

from rerank_dev.bench.record import Figure, report
from rerank_ops.demo.corpus import stdlib_passages
from rerank_ops.demo.first_stage import Bm25Index
from rerank_ops.demo.questions import stdlib_questions
from rerank_ops.local.fleet import LocalFleet, local_fleet
from rerank_producer import AsyncRerankClient, RerankClient
from rerank_shared.cache import clear
from rerank_shared.keys import Keys
from rerank_shared.models.catalogue import load_files
from rerank_shared.redis.connections import connect
from rerank_shared.settings import load_settings
from rerank_worker.engine import open_engine
from rerank_worker.supervisor.cores import available_cores
from rerank_worker.tokenizing import EncodedPair, PairTokenizer

OUTPUT = Path("build/bench/fleet.json")
ROUNDS = 7
#: Requests in flight for each worker process: enough that none ever waits for work.
IN_FLIGHT = 3


@dataclass(frozen=True, slots=True)
class Request:
    """A question and its candidates' texts, in BM25 order."""

    query: str
    documents: list[str]

    def with_mark(self, mark: str) -> Request:
        """Return the request with a word before its query, so that no cache has seen its pairs."""
        return Request(f"{mark} {self.query}", self.documents)


def main() -> None:
    """Run all measurements and write them down."""
    settings = load_settings(namespace=f"bench-{os.getpid()}")
    index = Bm25Index(stdlib_passages())
    queries = [question.text for question in stdlib_questions()]
    requests = {
        k: [Request(query, [c.text for c in index.top(query, k)]) for query in queries[:count]]
        for k, count in ((1, 60), (20, 24), (100, 6))
    }
    figures: list[Figure] = []
    with local_fleet(settings) as fleet:
        for k in (20, 100):
            figures += saturation(fleet, requests[k], k)
        figures.append(idle_added_ms(fleet, requests[1]))
        figures += cached(fleet, requests[100])
        figures += memory(fleet, requests[20])
    report(figures, OUTPUT)


def saturation(fleet: LocalFleet, requests: list[Request], k: int) -> list[Figure]:
    """Pairs/s of the saturated fleet against bare loops on the same cores, in turns."""
    cores = available_cores()[: fleet.processes]
    with BareLoops(cores, requests) as bare:
        bare_rates, fleet_rates = [], []
        for _ in range(ROUNDS):
            bare_rates.append(bare.pairs_per_s())
            fleet_rates.append(fleet_pairs_per_s(fleet, requests))
    ratios = [f / b for f, b in zip(fleet_rates, bare_rates, strict=True)]
    per_core = len(cores)
    return [
        Figure.of(f"fleet over bare loop, k={k}", ratios, "ratio", "at least", 0.90),
        Figure.of(f"fleet, k={k}", [rate / per_core for rate in fleet_rates], "pairs/s/core"),
        Figure.of(f"bare loop, k={k}", [rate / per_core for rate in bare_rates], "pairs/s/core"),
    ]


def fleet_pairs_per_s(fleet: LocalFleet, requests: list[Request]) -> float:
    """Send all requests with the fleet saturated from the first to nearly the last; none finds a cached score."""
    clear_cache(fleet)

    async def send_all() -> float:
        slots = asyncio.Semaphore(IN_FLIGHT * fleet.processes)

        async def send(request: Request) -> int:
            async with slots:
                response = await client.rerank(request.query, request.documents, deadline_ms=120_000, partial=False)
                return response.usage.pairs_run

        async with AsyncRerankClient(fleet.settings) as client:
            await client.rerank("connect and warm the way", ["once"])
            started = time.perf_counter()
            pairs = sum(await asyncio.gather(*map(send, requests)))
            return pairs / (time.perf_counter() - started)

    return asyncio.run(send_all())


def idle_added_ms(fleet: LocalFleet, requests: list[Request]) -> Figure:
    """What a request of one document takes on an idle fleet beyond the engine call for its pair, in turns."""
    files = load_files(fleet.settings.model)
    tokenizer, engine = PairTokenizer.of(files), open_engine(files)
    added = []
    with RerankClient(fleet.settings) as client:
        for number, request in enumerate(requests):
            marked = request.with_mark(f"case {number}")
            pairs = tokenizer.encode(marked.query, marked.documents, 512)
            engine.score(pairs)
            bare_ms = timed_ms(partial(engine.score, pairs))
            fleet_ms = timed_ms(partial(client.rerank, marked.query, marked.documents, partial=False))
            added.append(fleet_ms - bare_ms)
    return Figure.of("added to the bare engine call, idle, k=1", added[5:], "ms", "at most", 6.0)


def cached(fleet: LocalFleet, requests: list[Request]) -> list[Figure]:
    """Latency of requests that are answered wholly from the cache, and what they put on the queue: nothing."""
    with RerankClient(fleet.settings) as client, connect(fleet.settings) as redis:
        for request in requests:
            client.rerank(request.query, request.documents, deadline_ms=120_000, partial=False)
        pushed = commands(redis, "lpush")
        times = []
        for _ in range(40):
            for request in requests:
                times.append(timed_ms(partial(client.rerank, request.query, request.documents)))
        enqueued = commands(redis, "lpush") - pushed
    return [
        Figure.of("all from the cache, k=100", times[20:], "ms", "at most", 1.5),
        Figure.of("messages enqueued by them", [float(enqueued)], "messages", "at most", 0),
    ]


def memory(fleet: LocalFleet, requests: list[Request]) -> list[Figure]:
    """Resident memory of one worker over the model file, after 1,000 requests and how it grew in the second half."""
    model_mb = load_files(fleet.settings.model).model_path.stat().st_size / 1e6
    mark = 0

    def send(count: int) -> None:
        nonlocal mark
        batch = []
        for _ in range(count):
            request = requests[mark % len(requests)]
            batch.append(Request(request.query, request.documents[:3]).with_mark(f"{mark}"))
            mark += 1
        fleet_pairs_per_s(fleet, batch)

    send(500)
    half = rss_mb(fleet)
    send(500)
    full = rss_mb(fleet)
    growth = [after - before for before, after in zip(half, full, strict=True)]
    return [
        Figure.of(
            "worker RSS over the model file, after 1,000 requests",
            [rss - model_mb for rss in full],
            "MB",
            "at most",
            250,
        ),
        Figure.of("growth over the last 500", growth, "MB", "at most", 5),
    ]


def rss_mb(fleet: LocalFleet) -> list[float]:
    """Return the resident memory of each worker."""
    return [psutil.Process(pid).memory_info().rss / 1e6 for pid in fleet.supervisor.pids()]


class BareLoops:
    """One pinned process a core that runs the same pairs through the engine, as fast as it can."""

    def __init__(self, cores: tuple[int, ...], requests: list[Request]) -> None:
        context = multiprocessing.get_context("spawn")
        shares = [requests[number :: len(cores)] for number in range(len(cores))]
        self._pipes: list[Connection] = []
        self._processes = []
        self._pairs = sum(len(request.documents) for request in requests)
        for core, share in zip(cores, shares, strict=True):
            ours, theirs = context.Pipe()
            process = context.Process(target=_bare_loop, args=(theirs, core, share), daemon=True)
            process.start()
            self._pipes.append(ours)
            self._processes.append(process)
        for pipe in self._pipes:
            pipe.recv()

    def pairs_per_s(self) -> float:
        """Run all pairs once, on all cores at once."""
        started = time.perf_counter()
        for pipe in self._pipes:
            pipe.send(True)
        for pipe in self._pipes:
            pipe.recv()
        return self._pairs / (time.perf_counter() - started)

    def __enter__(self) -> BareLoops:
        return self

    def __exit__(self, *_: object) -> None:
        for pipe in self._pipes:
            pipe.send(False)
        for process in self._processes:
            process.join()


def _bare_loop(pipe: Connection, core: int, requests: list[Request]) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})
    files = load_files(load_settings().model)
    tokenizer, engine = PairTokenizer.of(files), open_engine(files)
    pairs: list[EncodedPair] = []
    for request in requests:
        pairs += tokenizer.encode(request.query, request.documents, 512)
    pairs.sort(key=lambda pair: pair.tokens)
    engine.score(pairs[-1:])
    pipe.send(True)
    while pipe.recv():
        for pair in pairs:
            engine.score([pair])
        pipe.send(True)


def clear_cache(fleet: LocalFleet) -> None:
    """Forget all scores, so that the next pass runs every pair."""
    with connect(fleet.settings) as client:
        clear(client, Keys(fleet.settings.namespace))


def commands(client: object, name: str) -> int:
    """Return how often the server has run a command."""
    stats: dict[str, dict[str, int]] = client.info("commandstats")  # type: ignore[attr-defined]
    return stats.get(f"cmdstat_{name}", {}).get("calls", 0)


def timed_ms(call: Callable[[], object]) -> float:
    """Return how long a call took, in milliseconds."""
    started = time.perf_counter()
    call()
    return (time.perf_counter() - started) * 1000


if __name__ == "__main__":
    main()
