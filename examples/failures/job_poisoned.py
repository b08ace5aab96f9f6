"""A job kills the workers that take it: it is set aside and kept, its caller is told, and nobody sends it again.

python examples/failures/job_poisoned.py
(the tests have a worker that dies of the word "poison")
"""

from rerank_producer import JobPoisoned, RerankClient


def main() -> None:
    """Send a request that no worker survives, and go on without a new order."""
    documents = ["The first document.", "The second document."]
    with RerankClient() as client:
        handle = client.submit("poison?", documents, deadline_ms=120_000)
        print("submitted", flush=True)
        try:
            client.collect(handle)
        except JobPoisoned as error:
            # Not retryable: it would kill more. `rerank-fleet dead show JOB_ID` has what is needed to find out why.
            print("set aside - retryable:", error.retryable)
            print(error)
            print("shown instead:", documents[0])
    # Prints:
    # submitted
    # set aside - retryable: False
    # job ... was set aside: ...
    # shown instead: The first document.


if __name__ == "__main__":
    main()
