"""No worker of a known model is alive: the request waits for one until its deadline, and then says what is missing.

python examples/failures/no_workers.py
(on a fleet in memory, whose time passes at once)
"""

from rerank_producer import NoWorkers
from rerank_producer.testing import InMemoryFleet

DOCUMENTS = ["The best of the first stage.", "The second best."]


def main() -> None:
    """Ask a fleet whose workers have gone, for what there is and for all or nothing."""
    fleet = InMemoryFleet(lambda query, document: float(len(document)))
    with fleet.client() as client:
        client.rerank("warm up", ["one document"])
        fleet.workers = 0
        response = client.rerank("anything", DOCUMENTS, deadline_ms=10_000)
        # The job was waiting all the time: an autoscaler that starts a worker meanwhile brings the answer.
        print("complete:", response.complete, "- order:", [result.index for result in response.results])
        try:
            client.rerank("anything", DOCUMENTS, deadline_ms=10_000, partial=False)
        except NoWorkers as error:
            print("all or nothing: NoWorkers - retryable:", error.retryable)
    # Prints:
    # complete: False - order: [0, 1]
    # all or nothing: NoWorkers - retryable: True


if __name__ == "__main__":
    main()
