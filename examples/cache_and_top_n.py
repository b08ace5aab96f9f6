"""The score cache and `top_n`: a pair that any client has asked before is not run again, whatever top_n it asks for.

python examples/cache_and_top_n.py
"""

import uuid

from rerank_producer import RerankClient


def main() -> None:
    """Ask the same twice, then with one new document."""
    # New texts each time that this runs, or all of them would be in the cache already.
    mark = uuid.uuid4().hex
    documents = [f"Room {number} of house {mark} has {number} windows." for number in range(5)]
    with RerankClient() as client:
        for top_n, asked in ((2, documents), (5, documents), (1, [*documents, f"Dogs of {mark}."])):
            response = client.rerank("Which room has three windows?", asked, top_n=top_n)
            usage = response.usage
            print(f"answered: {len(response.results)}, run: {usage.pairs_run}, cached: {usage.pairs_cached}")
    # Prints:
    # answered: 2, run: 5, cached: 0
    # answered: 5, run: 0, cached: 5
    # answered: 1, run: 1, cached: 5


if __name__ == "__main__":
    main()
