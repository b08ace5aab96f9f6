"""The saturated fleet's pairs/s, as a program of its own that any release can run: only names of the public client.

python saturation.py prints one JSON line a round, when a line comes in; so two releases can take turns.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from dataclasses import dataclass

from rerank_ops.demo.corpus import stdlib_passages
from rerank_ops.demo.first_stage import Bm25Index
from rerank_ops.demo.questions import stdlib_questions
from rerank_ops.local.fleet import local_fleet
from rerank_producer import AsyncRerankClient
from rerank_shared.settings import Settings, load_settings

K = 20
REQUESTS = 24
IN_FLIGHT = 6


@dataclass(frozen=True, slots=True)
class Request:
    """A question and its candidates' texts."""

    query: str
    documents: list[str]


async def pairs_per_s(settings: Settings, requests: list[Request], mark: str) -> float:
    """Send all requests with the fleet saturated; the mark makes every pair new to the cache."""
    slots = asyncio.Semaphore(IN_FLIGHT)

    async with AsyncRerankClient(settings) as client:

        async def send(request: Request) -> int:
            async with slots:
                query = f"{mark} {request.query}"
                response = await client.rerank(query, request.documents, deadline_ms=300_000, partial=False)
                return response.usage.pairs_run

        await client.rerank("connect and warm the way", ["once"])
        started = time.perf_counter()
        pairs = sum(await asyncio.gather(*map(send, requests)))
        return pairs / (time.perf_counter() - started)


def main() -> None:
    """Measure one round for each line that is read."""
    index = Bm25Index(stdlib_passages())
    questions = [question.text for question in stdlib_questions()][:REQUESTS]
    requests = [Request(text, [each.text for each in index.top(text, K)]) for text in questions]
    with local_fleet(load_settings(namespace=f"bench-{os.getpid()}")) as fleet:
        print(json.dumps("ready"), flush=True)
        for number, _ in enumerate(sys.stdin):
            print(json.dumps(asyncio.run(pairs_per_s(fleet.settings, requests, f"round {number}"))), flush=True)


if __name__ == "__main__":
    main()
