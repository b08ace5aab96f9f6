"""Clicks: tell what was shown of an answer and what of it was clicked, to make judgements of it later.

python examples/click_feedback.py
"""

from rerank_producer import RerankClient

PASSAGES = [
    {"id": "paris", "text": "The Seine flows through Paris."},
    {"id": "rome", "text": "The Tiber flows through Rome."},
    {"id": "bread", "text": "Bread goes stale as its starch crystallises."},
]


def main() -> None:
    """Rerank, and tell that a searcher clicked the second result."""
    query = "Which river flows through Rome?"
    with RerankClient() as client:
        response = client.rerank(query, PASSAGES, deadline_ms=60_000)
        # Returns at once, and raises nothing: a thread writes it. Of the query only a digest is kept.
        taken = client.feedback(response.id, shown=response.results, clicked=[response.results[1]], query=query)
        print("shown:", ", ".join(str(result.id) for result in response.results))
        print("taken:", taken)
    # Prints:
    # shown: rome, paris, bread
    # taken: True


if __name__ == "__main__":
    main()
