"""Open-loop load: requests that arrive when they arrive, whatever became of those before, and what became of each."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from rerank_ops.demo.corpus import stdlib_passages
from rerank_ops.demo.first_stage import Bm25Index
from rerank_ops.demo.questions import stdlib_questions
from rerank_ops.simulate.report import percentile
from rerank_producer import AsyncRerankClient
from rerank_shared.errors import DeadlineExceeded, Overloaded, QueueUnavailable
from rerank_shared.settings import Settings

#: Worker processes of the fleets that take turns.
PROCESSES = 2
#: Candidates of a request, and how often: many small ones, few large ones.
K_CHOICES = (5, 10, 20, 50, 100)
_K_WEIGHTS = (30, 30, 20, 15, 5)
_PATIENT_MS = 30_000.0
#: Tight deadlines, in times of the request's own run on one idle process; and what is allowed beside it.
TIGHT = (1.5, 2.5)
_HAND_OFF_MS = 50.0


@dataclass(frozen=True, slots=True)
class Query:
    """A question and its candidates' texts, in BM25 order."""

    text: str
    documents: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request that is sent `at_s` after the start. `tight`: its deadline is so many times what one idle process would
    take; 0 for those that may wait. `model`: whose scores it asks for, None for the fleet's first."""

    at_s: float
    query: Query
    deadline_ms: float
    tight: float
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of a request. `complete`: every candidate was scored, and in time."""

    arrival: Arrival
    latency_s: float
    complete: bool
    refused: bool
    pairs_run: int


class Questions:
    """Questions over the documentation of Python's standard library, with as many candidates as asked for."""

    def __init__(self) -> None:
        index, longest = Bm25Index(stdlib_passages()), max(K_CHOICES)
        texts = [question.text for question in stdlib_questions()]
        found = [Query(text, tuple(each.text for each in index.top(text, longest))) for text in texts]
        self._queries = [query for query in found if len(query.documents) == longest]

    def __iter__(self) -> Iterator[Query]:
        return iter(self._queries)

    def pick(self, chance: random.Random, k: int, mark: str = "") -> Query:
        """Return a question with `k` candidates; a `mark` makes it one that no cache has seen."""
        query = chance.choice(self._queries)
        return Query(f"{mark} {query.text}".strip(), query.documents[:k])


def poisson(
    questions: Questions,
    *,
    seed: int,
    seconds: float,
    load: float,
    pairs_per_s: float,
    mark: str,
    tight_share: float = 0.0,
) -> list[Arrival]:
    """Return mixed requests at random times, a share of them tight, the others with half a minute.

    `load` is a share of `pairs_per_s`, what a fleet of PROCESSES runs when saturated.
    """
    rps, pair_s = load * pairs_per_s / _mean_k(), PROCESSES / pairs_per_s
    chance = random.Random(seed)
    arrivals: list[Arrival] = []
    at_s = chance.expovariate(rps)
    while at_s < seconds:
        (k,) = chance.choices(K_CHOICES, _K_WEIGHTS)
        tight = chance.choice(TIGHT) if chance.random() < tight_share else 0.0
        deadline_ms = _HAND_OFF_MS + tight * 1_000.0 * k * pair_s if tight else _PATIENT_MS
        query = questions.pick(chance, k, f"{mark} {len(arrivals)}")
        arrivals.append(Arrival(at_s, query, deadline_ms, tight))
        at_s += chance.expovariate(rps)
    return arrivals


def _mean_k() -> float:
    return sum(k * weight for k, weight in zip(K_CHOICES, _K_WEIGHTS, strict=True)) / sum(_K_WEIGHTS)


async def _play(
    settings: Settings, arrivals: Sequence[Arrival], begun: Callable[[], None]
) -> tuple[list[Ended], float]:
    async with AsyncRerankClient(settings) as client:
        await client.rerank("connect and warm the way", ["once"])
        begun()
        started = time.perf_counter()

        async def send(arrival: Arrival) -> Ended:
            await asyncio.sleep(max(0.0, arrival.at_s - (time.perf_counter() - started)))
            return await _send(client, arrival)

        ended = await asyncio.gather(*map(send, arrivals))
        return ended, time.perf_counter() - started


async def _send(client: AsyncRerankClient, arrival: Arrival) -> Ended:
    begun = time.perf_counter()
    complete, refused, pairs = False, False, 0
    try:
        query = arrival.query
        response = await client.rerank(
            query.text, query.documents, deadline_ms=arrival.deadline_ms, model=arrival.model
        )
        complete, pairs = response.complete, response.usage.pairs_run
    except Overloaded:
        refused = True
    except (DeadlineExceeded, QueueUnavailable):
        pass
    latency_s = time.perf_counter() - begun
    in_time = latency_s * 1000 <= arrival.deadline_ms
    return Ended(arrival, latency_s, complete and in_time, refused, pairs)


def play(
    settings: Settings, arrivals: Sequence[Arrival], begun: Callable[[], None] = lambda: None
) -> tuple[list[Ended], float]:
    """Send all requests when they are due; returns what became of each, and the seconds until the last had ended.

    `begun` is called when the clock of the arrivals starts.
    """
    return asyncio.run(_play(settings, arrivals, begun))


def met_share(ended: Sequence[Ended], *, tight: float | None = None) -> float:
    """Return the share of requests answered completely and in time, of all or of those that are so tight."""
    chosen = [each for each in ended if tight is None or each.arrival.tight == tight]
    return sum(each.complete for each in chosen) / len(chosen)


def latency_ms(ended: Iterable[Ended], share: float) -> float:
    """Return a percentile of the requests' latency, as the simulator takes it."""
    return 1000 * percentile(sorted(each.latency_s for each in ended), share)
