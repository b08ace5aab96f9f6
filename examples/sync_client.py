"""The client for synchronous callers: one query, its candidates, the answer best first.

python examples/sync_client.py
"""

from rerank_producer import Document, RerankClient

# Plain texts and mappings will do as well.
DOCUMENTS = [
    Document(id="museum", text="New York City is famous for the Metropolitan Museum of Art."),
    Document(id="people", text="Berlin has 3,520,031 registered inhabitants.", metadata={"page": 12}),
    Document(id="wall", text="The Berlin Wall fell in 1989."),
]


def main() -> None:
    """Rerank three documents."""
    # Thread-safe: a server makes one for its whole process. The server is that of RERANK_REDIS_URL.
    with RerankClient() as client:
        response = client.rerank("How many people live in Berlin?", DOCUMENTS)
    for result in response.results:
        print(result.id, f"{result.relevance_score:.2f}", result.metadata)
    print("complete:", response.complete)
    # Prints:
    # people 1.00 {'page': 12}
    # wall 0.00 None
    # museum 0.00 None
    # complete: True


if __name__ == "__main__":
    main()
