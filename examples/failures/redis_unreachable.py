"""Redis is away when the call is made: the caller is told within seconds, and how to mend it.

python examples/failures/redis_unreachable.py
"""

from rerank_producer import QueueUnavailable, RerankClient

DOCUMENTS = ["The best of the first stage.", "The second best."]


def main() -> None:
    """Ask a server that isn't there, and show what the first stage found."""
    # Port 1, where nobody listens.
    with RerankClient(redis_url="redis://127.0.0.1:1/0") as client:
        try:
            client.rerank("anything", DOCUMENTS, deadline_ms=60_000)
        except QueueUnavailable as error:
            # `reason` is one of a closed set, for metrics and branches; the message is for people.
            print("reason:", error.reason, "- retryable:", error.retryable)
            print("message names the setting:", "RERANK_REDIS_URL" in error.message)
            print("shown instead:", DOCUMENTS[0])
    # Prints:
    # reason: unreachable - retryable: True
    # message names the setting: True
    # shown instead: The best of the first stage.


if __name__ == "__main__":
    main()
