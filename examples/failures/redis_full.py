"""Redis's memory is full: new jobs are refused with the reason, and nothing of them is left behind.

python examples/failures/redis_full.py
redis-cli CONFIG SET maxmemory 1mb      # before, on a server that holds nothing else
"""

from rerank_producer import QueueUnavailable, RerankClient

DOCUMENTS = ["The best of the first stage.", "The second best."]


def main() -> None:
    """Ask a server that takes no more, and show what the first stage found."""
    with RerankClient() as client:
        try:
            client.rerank("anything", DOCUMENTS, deadline_ms=20_000)
        except QueueUnavailable as error:
            # What is on the queue is still answered, and memory with it freed: try again later.
            print("reason:", error.reason, "- retryable:", error.retryable)
            print("shown instead:", DOCUMENTS[0])
    # Prints:
    # reason: out_of_memory - retryable: True
    # shown instead: The best of the first stage.


if __name__ == "__main__":
    main()
