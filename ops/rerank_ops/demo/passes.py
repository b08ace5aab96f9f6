"""Pass of the demo: sends every question to the fleet, some in flight at once, and times each as its caller sees it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from rerank_ops.demo.first_stage import Bm25Hit
from rerank_ops.demo.questions import Question
from rerank_producer import AsyncRerankClient
from rerank_shared.contract.schemas import Document, RerankResponse
from rerank_shared.keys import FusionMethod

#: Long, because the demo does not test deadlines and on one slow core the last question waits for all others.
DEADLINE_MS = 300_000


@dataclass(frozen=True, slots=True)
class Task:
    """A question with its first-stage candidates, best first."""

    question: Question
    candidates: list[Bm25Hit]


@dataclass(frozen=True, slots=True)
class TaskResult:
    """The response to a task and its latency."""

    task: Task
    response: RerankResponse
    latency_ms: float

    @property
    def ranking(self) -> list[str]:
        """Passage ids, best first."""
        return [result.id for result in self.response.results if result.id is not None]


@dataclass(frozen=True, slots=True)
class Pass:
    """All answers of one pass, in the order of the tasks, and its wall time."""

    answers: list[TaskResult]
    seconds: float

    @property
    def requests_per_s(self) -> float:
        """Requests answered a second."""
        return len(self.answers) / self.seconds

    @property
    def pairs_per_s(self) -> float:
        """Pairs answered a second, from the model or the cache."""
        return sum(len(answer.response.results) for answer in self.answers) / self.seconds

    @property
    def hit_rate(self) -> float:
        """Share of pairs that the cache answered."""
        usage = [answer.response.usage for answer in self.answers]
        hits, runs = sum(u.pairs_cached for u in usage), sum(u.pairs_run for u in usage)
        return hits / (hits + runs)

    def latency_ms(self, percent: float) -> float:
        """Return a percentile (0 to 100) of the requests' latency, in milliseconds."""
        return float(np.percentile([answer.latency_ms for answer in self.answers], percent))


async def run_pass(
    client: AsyncRerankClient,
    tasks: Sequence[Task],
    in_flight: int,
    on_answer: Callable[[], None],
    fusion: FusionMethod = "none",
) -> Pass:
    """Send every task, `in_flight` at a time, and return the pass. Raises as the client does.

    With `fusion` the candidates' BM25 scores count in the order.
    """
    slots = asyncio.Semaphore(in_flight)

    async def send(task: Task) -> TaskResult:
        documents = [Document(id=each.id, text=each.text, score=each.bm25) for each in task.candidates]
        async with slots:
            started = time.perf_counter()
            response = await client.rerank(
                task.question.text,
                documents,
                deadline_ms=DEADLINE_MS,
                partial=False,
                fusion=fusion,
                first_stage="bm25",
            )
            latency_ms = (time.perf_counter() - started) * 1000
        on_answer()
        return TaskResult(task, response, latency_ms)

    started = time.perf_counter()
    answers = await asyncio.gather(*map(send, tasks))
    return Pass(list(answers), time.perf_counter() - started)
