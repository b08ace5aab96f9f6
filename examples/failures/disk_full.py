"""A worker's disk fills up while it runs: nobody notices, since what it writes meanwhile is in memory.

cat /dev/zero > /tmp/all-of-it      # on the worker's host, where nothing else needs the disk
python examples/failures/disk_full.py
"""

import uuid

from rerank_producer import RerankClient


def main() -> None:
    """Rerank through a worker whose disk is full."""
    # New texts: what is cached needs no worker.
    documents = [f"Room {number} of house {uuid.uuid4().hex}." for number in range(5)]
    with RerankClient() as client:
        response = client.rerank("Which room?", documents, deadline_ms=60_000, partial=False)
    print("complete:", response.complete, "- run:", response.usage.pairs_run)
    # Prints:
    # complete: True - run: 5


if __name__ == "__main__":
    main()
