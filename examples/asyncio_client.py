"""The client for asyncio callers: requests of one event loop that wait beside each other.

python examples/asyncio_client.py
"""

import asyncio

from rerank_producer import AsyncRerankClient

DOCUMENTS = ["Bread is baked from flour and water.", "Berlin has 3,520,031 registered inhabitants."]


async def main() -> None:
    """Ask two questions at once."""
    async with AsyncRerankClient() as client:
        bread, berlin = await asyncio.gather(
            client.rerank("What is bread made of?", DOCUMENTS),
            client.rerank("How many people live in Berlin?", DOCUMENTS),
        )
    print("bread:", DOCUMENTS[bread.results[0].index])
    print("Berlin:", DOCUMENTS[berlin.results[0].index])
    # Prints:
    # bread: Bread is baked from flour and water.
    # Berlin: Berlin has 3,520,031 registered inhabitants.


if __name__ == "__main__":
    asyncio.run(main())
