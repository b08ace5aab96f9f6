"""A task of your own in the fleet's Celery app, which reranks: one broker for both; see docs/celery.md.

cd examples && celery --app celery_own_task worker
python examples/celery_own_task.py
"""

from rerank_producer import RerankClient
from rerank_shared.queue.celery_app import make_celery
from rerank_shared.settings import load_settings

app = make_celery(load_settings())
client = RerankClient()
DOCUMENTS = ["Bread is baked from flour and water.", "Berlin has 3,520,031 registered inhabitants."]


@app.task(name="search.best")
def best(query: str) -> str:
    """Return the document that answers a query best; runs in your worker, asks the fleet's."""
    return DOCUMENTS[client.rerank(query, DOCUMENTS, deadline_ms=60_000).results[0].index]


def main() -> None:
    """Send the task and wait for what it returns."""
    print(best.delay("How many people live in Berlin?").get(timeout=60))
    # Prints:
    # Berlin has 3,520,031 registered inhabitants.


if __name__ == "__main__":
    main()
