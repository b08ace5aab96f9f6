"""Steady load through a gateway from a thread: so many requests a second, whatever became of those before."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rerank_dev.bench.gateway.connection import Connection, post
from rerank_dev.bench.scheduling.load import Query


class SteadyHttp:
    """Asks a model or route for new pairs until the block ends. `failed`: answers that were errors or incomplete."""

    def __init__(self, url: str, model: str, queries: Sequence[Query], per_s: float, deadline_ms: int) -> None:
        self._url, self._model, self._queries, self._per_s = url, model, queries, per_s
        self._terms = {"X-Rerank-Deadline-Ms": str(deadline_ms), "X-Rerank-Partial": "false"}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="load by HTTP")
        self.sent = self.failed = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    async def _run(self) -> None:
        begun = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            while not self._stop.is_set():
                query = self._queries[self.sent % len(self._queries)]
                group.create_task(self._ask(Query(f"{self.sent} {query.text}", query.documents)))
                self.sent += 1
                await asyncio.sleep(max(0.0, begun + self.sent / self._per_s - time.perf_counter()))

    async def _ask(self, query: Query) -> None:
        content = {"model": self._model, "query": query.text, "documents": list(query.documents)}
        try:
            async with await Connection.open(self._url) as connection:
                reply = await connection.ask(post(self._url, "/v1/fleet/rerank", content, self._terms))
        except (OSError, EOFError):
            self.failed += 1
        else:
            self.failed += reply.status != 200 or reply.header("x-rerank-complete") == "false"
