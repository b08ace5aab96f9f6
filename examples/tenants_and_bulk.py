"""Tenants and classes: bulk work that waits behind interactive work, and a tenant whose scores nobody else sees.

python examples/tenants_and_bulk.py
"""

import uuid

from rerank_producer import RerankClient


def main() -> None:
    """Put bulk work of one tenant on the queue, ask interactively for another, then collect the bulk work."""
    mark = uuid.uuid4().hex
    documents = [f"Room {number} of house {mark} has {number} windows." for number in range(8)]
    with RerankClient() as client:
        # An hour to be answered by default (RERANK_BULK_DEADLINE_MS); interactive work of anybody goes first.
        nightly = [
            client.submit(f"Which room is for {n} guests?", documents, job_class="bulk", tenant="reports")
            for n in range(4)
        ]
        for tenant in ("acme", "acme", "globex"):
            response = client.rerank(
                "Which room has three windows?", documents, tenant=tenant, cache_scope="tenant", deadline_ms=60_000
            )
            print(f"{tenant}: cached {response.usage.pairs_cached}, complete: {response.complete}")
        print("bulk:", sum(client.collect(handle, timeout_ms=60_000).complete for handle in nightly))
    # Prints:
    # acme: cached 0, complete: True
    # acme: cached 8, complete: True
    # globex: cached 0, complete: True
    # bulk: 4


if __name__ == "__main__":
    main()
