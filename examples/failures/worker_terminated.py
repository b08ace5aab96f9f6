"""A worker gets SIGTERM, as in a rollout: its batch finishes, what waits in it goes to other workers at once.

python examples/failures/worker_terminated.py & sleep 3; kill -TERM PID
(of one worker of two; `rerank-fleet up -p 2` logs their PIDs)
"""

import asyncio
import uuid

from rerank_producer import AsyncRerankClient


async def main() -> None:
    """Have four requests in flight; none of them notices."""
    mark = uuid.uuid4().hex
    documents = [f"Room {number} of house {mark} has {number} windows." for number in range(30)]
    async with AsyncRerankClient() as client:
        print("asked", flush=True)
        answers = await asyncio.gather(
            *(client.rerank(f"Which room has {n} windows?", documents, deadline_ms=120_000) for n in range(4))
        )
    print("complete:", [answer.complete for answer in answers])
    # Prints:
    # asked
    # complete: [True, True, True, True]


if __name__ == "__main__":
    asyncio.run(main())
