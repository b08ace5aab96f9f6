"""`make bench`: what the fleet costs over a bare session, idle and saturated, cached and not, and in memory.

Texts are the demo's: questions over the documentation of Python's standard library, candidates by BM25. The bare loop
is the worker's own engine over the same pairs (bare_loops.py). A fast engine shows more of what stands beside it:

python -m rerank_dev.bench.fleet [--model file:models/l12]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from rerank_dev.bench.bare_loops import BareLoops
from rerank_dev.bench.record import Figure, report
from rerank_ops.demo.corpus import stdlib_passages
from rerank_ops.demo.first_stage import Bm25Index
from rerank_ops.demo.questions import stdlib_questions
from rerank_ops.local.fleet import LocalFleet, local_fleet
from rerank_producer import AsyncRerankClient, RerankClient
from rerank_shared.cache import clear
from rerank_shared.keys import Keys
from rerank_shared.models.catalogue import configured_files
from rerank_shared.redis.connections import connect
from rerank_shared.settings import load_settings
from rerank_worker.loading import load
from rerank_worker.supervisor.cores import available_cores

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


@dataclass(frozen=True, slots=True)
class Progress:
    """What the workers have run since they began, at the second `at` of this process's clock."""

    at: float
    pairs: float
    tokens: float

    @classmethod
    def of(cls, fleet: LocalFleet) -> Progress:
        """Read it from the workers' counters."""
        assert fleet.supervisor.counts is not None
        samples = [sample for family in fleet.supervisor.counts.collect() for sample in family.samples]
        found = {sample.name: sample.value for sample in samples if not sample.labels}
        return cls(time.perf_counter(), found["rerank_pairs_run_total"], found["rerank_tokens_run_total"])

    def per_s(self, later: Progress) -> tuple[float, float]:
        """Return the pairs and the tokens a second until `later`."""
        seconds = later.at - self.at
        return (later.pairs - self.pairs) / seconds, (later.tokens - self.tokens) / seconds


def main() -> None:
    """Run all measurements and write them down."""
    parser = argparse.ArgumentParser(prog="python -m rerank_dev.bench.fleet")
    parser.add_argument("--model", help="as RERANK_MODEL, such as file:models/l12")
    chosen = parser.parse_args()
    settings = load_settings(namespace=f"bench-{os.getpid()}", **({"model": chosen.model} if chosen.model else {}))
    index = Bm25Index(stdlib_passages())
    queries = [question.text for question in stdlib_questions()]
    requests = {
        k: [Request(query, [c.text for c in index.top(query, k)]) for query in queries[:count]]
        for k, count in ((1, 60), (20, 72), (100, 24))
    }
    figures: list[Figure] = []
    with local_fleet(settings, counted=True) as fleet:
        for k in (20, 100):
            figures += saturation(fleet, requests[k], k)
        figures.append(idle_added_ms(fleet, requests[1]))
        figures += cached(fleet, requests[100][:6])
        figures += memory(fleet, requests[20])
    report(figures, OUTPUT)


def saturation(fleet: LocalFleet, requests: list[Request], k: int) -> list[Figure]:
    """The saturated fleet against bare loops on the same cores, in turns.

    The ratio is that of tokens a second, since the fleet does not run all of the requests while it is watched.
    """
    cores = available_cores()[: fleet.processes]
    asked = [(request.query, request.documents) for request in requests]
    with BareLoops(fleet.settings, cores, asked) as bare:
        turns = [(bare.per_s(), saturated_per_s(fleet, requests)) for _ in range(ROUNDS)]
    ratios = [fleet_tokens / bare_tokens for (_, bare_tokens), (_, fleet_tokens) in turns]
    per_core = len(cores)
    return [
        Figure.of(f"fleet over bare loop, k={k}", ratios, "ratio", "at least", 0.95),
        Figure.of(f"fleet, k={k}", [pairs / per_core for _, (pairs, _) in turns], "pairs/s/core"),
        Figure.of(f"bare loop, k={k}", [pairs / per_core for (pairs, _), _ in turns], "pairs/s/core"),
    ]


def saturated_per_s(fleet: LocalFleet, requests: list[Request]) -> tuple[float, float]:
    """Send all requests, and return the pairs and tokens a second of the fleet while it is saturated.

    That is from the first answer until the last request is sent: at the end processes wait for each other, and the
    longer the run, the less that counts. No request finds a cached score.
    """
    clear_cache(fleet)
    first, last = asyncio.run(send_all(fleet, requests))
    return first.per_s(last)


async def send_all(fleet: LocalFleet, requests: Sequence[Request]) -> tuple[Progress, Progress]:
    """Send all requests, IN_FLIGHT a process at once; return the progress at the first answer and the last sending."""
    slots = asyncio.Semaphore(IN_FLIGHT * fleet.processes)
    answered: list[Progress] = []
    sent = 0

    async def send(request: Request) -> Progress | None:
        nonlocal sent
        async with slots:
            sent += 1
            progress = Progress.of(fleet) if sent == len(requests) else None
            await client.rerank(request.query, request.documents, deadline_ms=120_000, partial=False)
            if not answered:
                answered.append(Progress.of(fleet))
            return progress

    async with AsyncRerankClient(fleet.settings) as client:
        await client.rerank("connect and warm the way", ["once"])
        found = await asyncio.gather(*map(send, requests))
    (last,) = filter(None, found)
    return answered[0], last


def idle_added_ms(fleet: LocalFleet, requests: list[Request]) -> Figure:
    """What a request of one document takes on an idle fleet beyond the engine call for its pair, in turns."""
    model = load(fleet.settings)
    added = []
    with RerankClient(fleet.settings) as client:
        for number, request in enumerate(requests):
            marked = request.with_mark(f"case {number}")
            pairs = model.scorer.encode(marked.query, marked.documents, model.identity.max_length)
            model.scorer.score(pairs)
            bare_ms = timed_ms(partial(model.scorer.score, pairs))
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
    model_mb = sum(path.stat().st_size for path in configured_files(fleet.settings).weights) / 1e6
    mark = 0

    def send(count: int) -> None:
        nonlocal mark
        batch = []
        for _ in range(count):
            request = requests[mark % len(requests)]
            batch.append(Request(request.query, request.documents[:3]).with_mark(f"{mark}"))
            mark += 1
        asyncio.run(send_all(fleet, batch))

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
