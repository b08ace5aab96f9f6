"""Redis forgets a submitted job: collect() says so within two seconds, and the caller submits it again.

python examples/failures/job_lost.py
(stop the workers, so that this waits; redis-cli FLUSHALL; start the workers)
"""

import uuid

from rerank_producer import JobLost, RerankClient


def main() -> None:
    """Submit a request, lose it, submit it again."""
    mark = uuid.uuid4().hex
    documents = [f"Room {number} of house {mark} has {number} windows." for number in range(5)]
    with RerankClient() as client:
        handle = client.submit("Which room has three windows?", documents, deadline_ms=120_000)
        print("submitted", flush=True)
        try:
            response = client.collect(handle)
        except JobLost as error:
            print("lost - retryable:", error.retryable, flush=True)
            # Only who has the texts can do that: keep them until the answer is there.
            handle = client.submit("Which room has three windows?", documents, deadline_ms=120_000)
            response = client.collect(handle)
        print("complete:", response.complete)
    # Prints:
    # submitted
    # lost - retryable: True
    # complete: True


if __name__ == "__main__":
    main()
