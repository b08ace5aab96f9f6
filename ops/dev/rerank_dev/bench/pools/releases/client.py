"""A client as a program that any release can run: sends what a line of JSON says, and prints what came of it as one.

python client.py, with the release on PYTHONPATH and RERANK_… in the environment. It imports the public client alone.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass, field
from typing import Any

import rerank_producer
from rerank_producer import AsyncRerankClient, RerankError

DEADLINE_MS = 30_000


async def closed_loop(client: AsyncRerankClient, plan: dict[str, Any]) -> dict[str, Any]:
    """Send the `requests` of a plan once, `in_flight` at a time; return what became of them."""
    outcomes, left = Outcomes(client), iter(plan["requests"])

    async def one_after_another() -> None:
        for request in left:
            await outcomes.ask(request["query"], request["documents"])

    await asyncio.gather(*(one_after_another() for _ in range(plan["in_flight"])))
    return outcomes.told()


async def open_loop(client: AsyncRerankClient, plan: dict[str, Any]) -> dict[str, Any]:
    """Send the `requests` of a plan over and over, `per_s` a second, until the next line is read; return the outcomes.

    Each is sent when it is due, whatever became of those before. All are new to the cache.
    """
    outcomes, begun, sent = Outcomes(client), time.perf_counter(), 0
    ended = asyncio.create_task(asyncio.to_thread(sys.stdin.readline))
    async with asyncio.TaskGroup() as group:
        while not ended.done():
            request = plan["requests"][sent % len(plan["requests"])]
            group.create_task(outcomes.ask(f"{sent} {request['query']}", request["documents"]))
            sent += 1
            await asyncio.wait([ended], timeout=max(0.0, begun + sent / plan["per_s"] - time.perf_counter()))
    return outcomes.told()


@dataclass
class Outcomes:
    """What became of the requests of one plan. `added_ms`: what one took beside the run of the model, by its answer."""

    client: AsyncRerankClient
    latencies_ms: list[float] = field(default_factory=list)
    added_ms: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    pairs: int = 0
    begun: float = field(default_factory=time.perf_counter)

    async def ask(self, query: str, documents: list[str]) -> None:
        """Send a request and note its outcome."""
        begun = time.perf_counter()
        try:
            found = await self.client.rerank(query, documents, deadline_ms=DEADLINE_MS, partial=False)
        except RerankError as error:
            self.failures.append(f"sent after {begun - self.begun:.1f} s: {type(error).__name__}: {error}")
            return
        self.latencies_ms.append(1000 * (time.perf_counter() - begun))
        self.added_ms.append(found.timings.total_ms - found.timings.run_ms)
        self.pairs += found.usage.pairs_run

    def told(self) -> dict[str, Any]:
        """Return them as they are printed."""
        names = ("latencies_ms", "added_ms", "failures", "pairs")
        return {name: getattr(self, name) for name in names} | {"seconds": time.perf_counter() - self.begun}


async def main() -> None:
    """Carry out each plan that is read."""
    async with AsyncRerankClient() as client:
        await client.rerank("connect and warm the way", ["once"], deadline_ms=120_000, partial=False)
        print(json.dumps({"runs": rerank_producer.__file__}), flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            plan = json.loads(line)
            print(json.dumps(await (open_loop if plan["per_s"] else closed_loop)(client, plan)), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
