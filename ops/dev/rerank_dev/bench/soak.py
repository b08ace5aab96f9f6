"""`make soak`: workers killed one after the other under load, and the account of every request: answered, told, lost.

Half of the requests wait for their answer, half are submitted and collected at the end, so that nobody sends those
again. Exit status 1 if one was lost, or a caller waited longer than twice its deadline.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import sys
import time
from collections import Counter
from contextlib import suppress

from rich.console import Console
from rich.table import Table

from rerank_dev.bench.scheduling.load import Questions
from rerank_ops.local.fleet import LocalFleet, local_fleet
from rerank_producer import AsyncRerankClient
from rerank_shared.errors import RerankError
from rerank_shared.settings import load_settings

DEADLINE_MS = 15_000.0
SUBMITTED_DEADLINE_MS = 600_000.0
_K = (3, 10, 20)


def main() -> int:
    """Run the soak; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m rerank_dev.bench.soak")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--every-s", type=float, default=3.0, help="mean time between kills")
    parser.add_argument("--rps", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    with local_fleet(load_settings(namespace=f"soak-{os.getpid()}"), 2) as fleet:
        account = asyncio.run(soak(fleet, chosen.kills, chosen.every_s, chosen.rps, random.Random(chosen.seed)))
    table = Table("what became of it", "requests", title=f"{chosen.kills} kills")
    for what, count in sorted(account.items()):
        table.add_row(what, str(count))
    Console().print(table)
    return int(any(account[what] for what in account if what.startswith(("lost", "late"))))


async def soak(fleet: LocalFleet, kills: int, every_s: float, rps: float, chance: random.Random) -> Counter[str]:
    """Send and kill at random times; returns what became of the requests."""
    questions, account = Questions(), Counter[str]()
    asked: list[asyncio.Task[str]] = []
    handles: list[str] = []
    async with AsyncRerankClient(fleet.settings) as client:
        killer = asyncio.create_task(_kill(fleet, kills, every_s, chance))
        while not killer.done():
            await asyncio.sleep(chance.expovariate(rps))
            query = questions.pick(chance, chance.choice(_K), f"request {len(asked) + len(handles)}")
            if chance.random() < 0.5:
                asked.append(asyncio.create_task(_ask(client, query.text, query.documents)))
            else:
                handle = await client.submit(query.text, query.documents, deadline_ms=SUBMITTED_DEADLINE_MS)
                handles.append(str(handle))
        account.update(await asyncio.gather(*asked))
        account.update([await _collect(client, handle) for handle in handles])
    return account


async def _kill(fleet: LocalFleet, kills: int, every_s: float, chance: random.Random) -> None:
    for _ in range(kills):
        await asyncio.sleep(chance.expovariate(1 / every_s))
        if pids := fleet.supervisor.pids():
            with suppress(ProcessLookupError):
                os.kill(chance.choice(sorted(pids)), signal.SIGKILL)


async def _ask(client: AsyncRerankClient, query: str, documents: tuple[str, ...]) -> str:
    started = time.monotonic()
    try:
        response = await client.rerank(query, documents, deadline_ms=DEADLINE_MS)
        what = "answered" if response.complete else "answered in part at the deadline"
    except RerankError as error:
        what = f"told {type(error).__name__}"
    return what if (time.monotonic() - started) * 1000 <= 2 * DEADLINE_MS else "late beyond twice the deadline"


async def _collect(client: AsyncRerankClient, handle: str) -> str:
    try:
        await client.collect(handle, timeout_ms=120_000)
        return "submitted and collected"
    except RerankError as error:
        # Nothing heard within two minutes of the last kill, on an idle fleet: it is gone.
        name = type(error).__name__
        return f"submitted, told {name}" if name in ("JobPoisoned", "Overloaded") else f"lost: {name}"


if __name__ == "__main__":
    sys.exit(main())
