"""Many requests at once from one event loop, with a bound on how many are in flight.

python examples/many_requests.py
"""

import asyncio

from rerank_producer import AsyncRerankClient, RerankError

IN_FLIGHT = 4
REQUESTS = 16
DOCUMENTS = [f"Room {number} has {number} windows." for number in range(4)]


async def main() -> None:
    """Rerank for 16 queries, four at a time; one that fails stops no other."""
    slots = asyncio.Semaphore(IN_FLIGHT)

    async def rerank(query: str) -> bool:
        async with slots:
            try:
                return (await client.rerank(query, DOCUMENTS, deadline_ms=60_000)).complete
            except RerankError as error:
                print("failed:", error)
                return False

    async with AsyncRerankClient() as client:
        answers = await asyncio.gather(*(rerank(f"Which room has {n} windows?") for n in range(REQUESTS)))
    print(f"complete: {sum(answers)} of {REQUESTS}")
    # Prints:
    # complete: 16 of 16


if __name__ == "__main__":
    asyncio.run(main())
