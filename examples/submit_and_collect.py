"""Submit now, collect later: a request that outlives its caller, and is collected by whoever has its id.

python examples/submit_and_collect.py
"""

from rerank_producer import RerankClient

DOCUMENTS = ["Bread is baked from flour and water.", "Berlin has 3,520,031 registered inhabitants."]


def submit() -> str:
    """Put a request on the queue and return its id: a string, so it may go into a database or a message."""
    with RerankClient() as client:
        return str(client.submit("How many people live in Berlin?", DOCUMENTS, job_class="bulk"))


def collect(job_id: str) -> None:
    """Take the answer, in any process that knows the id."""
    with RerankClient() as client:
        response = client.collect(job_id, timeout_ms=60_000)
        print("best document:", response.results[0].index)
        print("now it is", client.status(job_id).state)
    # Prints:
    # best document: 1
    # now it is done


if __name__ == "__main__":
    collect(submit())
