"""It can't be answered in time: the request is refused at once, with the wait that it would have had.

python examples/failures/overloaded.py
"""

import uuid

from rerank_producer import Overloaded, RerankClient, RerankHandle

MOST = 10_000


def main() -> None:
    """Submit work that is due in ten seconds until the fleet says no, then drop what it took."""
    mark = uuid.uuid4().hex
    taken: list[RerankHandle] = []
    with RerankClient() as client:
        try:
            while len(taken) < MOST:
                documents = [f"Room {number} of house {mark}-{len(taken)} has windows." for number in range(100)]
                taken.append(client.submit("Which room has windows?", documents, deadline_ms=10_000))
        except Overloaded as error:
            # Nothing was computed. A caller tries again after `retry_after_s`, or shows first-stage order.
            print("refused - retryable:", error.retryable)
            print("it would have waited over 10 s:", error.predicted_wait_ms > 10_000)
            print("room for it later:", error.retry_after_s > 0)
        print("taken before:", "some" if taken else "none")
        for handle in taken:
            client.cancel(handle)
    # Prints:
    # refused - retryable: True
    # it would have waited over 10 s: True
    # room for it later: True
    # taken before: some


if __name__ == "__main__":
    main()
