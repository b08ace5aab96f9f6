"""A worker freezes with a part of a request: the part is sent to an idle process when it is late.

python examples/failures/worker_frozen.py & sleep 3; kill -STOP PID
(of one worker of two; `rerank-fleet up -p 2` logs their PIDs)
"""

import uuid

from rerank_producer import RerankClient


def main() -> None:
    """Send a request that is large enough for two processes, and wait for all of it."""
    mark = uuid.uuid4().hex
    documents = [f"Room {number} of house {mark} has {number} windows." for number in range(120)]
    print("asked", flush=True)
    with RerankClient() as client:
        response = client.rerank("Which room has three windows?", documents, deadline_ms=120_000, partial=False)
    print("complete:", response.complete)
    print("processes that scored:", len(set(response.workers)))
    # Prints:
    # asked
    # complete: True
    # processes that scored: 1


if __name__ == "__main__":
    main()
