"""The caller cancels, or its task is cancelled: its work is dropped, wherever it waits or runs.

python examples/failures/caller_gone.py
"""

import asyncio
import contextlib
import uuid

from rerank_producer import AsyncRerankClient, JobRevoked


async def main() -> None:
    """Leave one request by a time-out, as a web server does when its client hangs up, and cancel another by its id."""
    mark = uuid.uuid4().hex
    documents = [f"Room {number} of house {mark} has {number} windows." for number in range(500)]
    async with AsyncRerankClient() as client:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                await client.rerank("Which room has three windows?", documents, deadline_ms=600_000)
        print("left")
        handle = await client.submit("Which room has four windows?", documents, deadline_ms=600_000)
        await client.cancel(handle)
        try:
            await client.collect(handle, timeout_ms=60_000)
        except JobRevoked as error:
            print("cancelled: JobRevoked - retryable:", error.retryable)
    # Prints:
    # left
    # cancelled: JobRevoked - retryable: False


if __name__ == "__main__":
    asyncio.run(main())
