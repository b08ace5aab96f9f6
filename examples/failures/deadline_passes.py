"""The deadline passes: what was scored by then comes first, the rest behind it, and `complete` says so.

python examples/failures/deadline_passes.py
"""

import uuid

from rerank_producer import DeadlineExceeded, RerankClient


def main() -> None:
    """Give the fleet one millisecond, which is too little for anything that is not cached."""
    mark = uuid.uuid4().hex
    documents = [f"Room {number} of house {mark} has {number} windows." for number in range(3)]
    with RerankClient() as client:
        response = client.rerank("Which room has two windows?", documents, deadline_ms=1)
        # First-stage order is an answer too: show it, and allow more time where it matters.
        print("complete:", response.complete, "- order:", [result.index for result in response.results])
        print("scored:", sum(result.scored for result in response.results))
        try:
            client.rerank("Which room has two windows?", documents, deadline_ms=1, partial=False)
        except DeadlineExceeded as error:
            print("all or nothing: DeadlineExceeded - retryable:", error.retryable)
    # Prints:
    # complete: False - order: [0, 1, 2]
    # scored: 0
    # all or nothing: DeadlineExceeded - retryable: True


if __name__ == "__main__":
    main()
