"""A worker is killed in the middle of a request: another one does the work, and the caller sees only the delay.

python examples/failures/worker_killed.py & sleep 3; kill -9 PID
(of a fleet of one worker; `rerank-fleet up -p 1` logs its PID, and starts another one in its place)
"""

import uuid

from rerank_producer import RerankClient


def main() -> None:
    """Submit a long request and collect its answer, whatever happens to the worker that has it."""
    mark = uuid.uuid4().hex
    documents = [f"Room {number} of house {mark} has {number} windows." for number in range(120)]
    with RerankClient() as client:
        handle = client.submit("Which room has three windows?", documents, deadline_ms=120_000)
        print("submitted", flush=True)
        response = client.collect(handle)
    print("complete:", response.complete, "- documents:", len(response.results))
    # Prints:
    # submitted
    # complete: True - documents: 120


if __name__ == "__main__":
    main()
