"""The model fails on one pair: only the request that has it is told, others in the same batch are answered.

python examples/failures/pair_fails.py "a document that breaks your model"
"""

import asyncio
import sys

from rerank_producer import AsyncRerankClient, ScoringFailed

GOOD = ["A document about rooms.", "A document about windows."]


async def main() -> None:
    """Ask for good documents and for a bad one at the same time."""
    bad = [*GOOD, *sys.argv[1:]]
    async with AsyncRerankClient() as client:
        good, failed = await asyncio.gather(
            client.rerank("windows", GOOD, deadline_ms=60_000),
            client.rerank("windows", bad, deadline_ms=60_000),
            return_exceptions=True,
        )
    print("good request:", good if isinstance(good, BaseException) else good.complete)
    if isinstance(failed, ScoringFailed):
        # Not retryable, and the message says which document: leave it out, or keep first-stage order.
        print("bad request: ScoringFailed - retryable:", failed.retryable)
        print(failed)
    # Prints:
    # good request: True
    # bad request: ScoringFailed - retryable: False
    # ...document 2...


if __name__ == "__main__":
    asyncio.run(main())
