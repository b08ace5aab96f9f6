"""Several first stages: what BM25 and a dense index found is fused by rank, cut, and reranked as one list.

python examples/fuse_first_stages.py
"""

from rerank_producer import RerankClient, fuse

BM25 = [
    {"id": "wall", "text": "The Berlin Wall fell in 1989."},
    {"id": "people", "text": "Berlin has 3,520,031 registered inhabitants."},
]
DENSE = [
    {"id": "people", "text": "Berlin has 3,520,031 registered inhabitants."},
    {"id": "paris", "text": "Paris has some two million inhabitants."},
]
QUERY = "How many people live in Berlin?"


def main() -> None:
    """Rerank what two retrievers found; a document that both found is scored once."""
    with RerankClient() as client:
        response = client.rerank(QUERY, lists=[BM25, DENSE], max_candidates=100)
        for result in response.results:
            print(result.id, "ranks:", result.ranks)
        # Weights are given to fuse() itself: here the dense index counts twice.
        weighted = fuse([BM25, DENSE], weights=[1, 2], limit=2)
        print("two candidates:", [candidate.id for candidate in weighted])
        print("best of them:", client.rerank(QUERY, weighted).results[0].id)
    # Prints:
    # people ranks: [2, 1]
    # paris ranks: [None, 2]
    # wall ranks: [1, None]
    # two candidates: ['people', 'paris']
    # best of them: people


if __name__ == "__main__":
    main()
