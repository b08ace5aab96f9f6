"""Redis goes in the middle of a request and comes back: the client sends the job again if need be, and has its answer.

python examples/failures/redis_comes_back.py
(stop the workers, so that this waits; restart Redis; start the workers)
"""

import uuid

from rerank_producer import RerankClient


def main() -> None:
    """Ask, and wait."""
    mark = uuid.uuid4().hex
    documents = [f"Room {number} of house {mark} has {number} windows." for number in range(5)]
    print("asked", flush=True)
    with RerankClient() as client:
        # rerank() has the texts and sends them again; collect() of a submitted job can't, see job_lost.py.
        response = client.rerank("Which room has three windows?", documents, deadline_ms=120_000, partial=False)
    print("complete:", response.complete)
    # Prints:
    # asked
    # ...
    # complete: True


if __name__ == "__main__":
    main()
