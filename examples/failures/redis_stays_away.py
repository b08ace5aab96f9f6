"""Redis goes in the middle of a request and stays away: at the deadline there is an answer all the same, or an error.

python examples/failures/redis_stays_away.py
(stop the workers, so that this waits; stop Redis)
"""

import asyncio
import uuid

from rerank_producer import AsyncRerankClient, DeadlineExceeded, QueueUnavailable


async def main() -> None:
    """Ask twice, once for whatever there is at the deadline, once for all or nothing."""
    documents = [f"The only room of house {uuid.uuid4().hex} has three windows."]
    async with AsyncRerankClient() as client:
        print("asked", flush=True)
        lenient, strict = await asyncio.gather(
            client.rerank("Which room has three windows?", documents, deadline_ms=6_000),
            client.rerank("Which room has four windows?", documents, deadline_ms=6_000, partial=False),
            return_exceptions=True,
        )
    print("complete:", lenient if isinstance(lenient, BaseException) else lenient.complete)
    if isinstance(strict, QueueUnavailable | DeadlineExceeded):
        # Which of the two depends on whether the client was still waiting for Redis when the time was up.
        print("all or nothing: refused - retryable:", strict.retryable)
    # Prints:
    # asked
    # ...
    # complete: False
    # all or nothing: refused - retryable: True


if __name__ == "__main__":
    asyncio.run(main())
