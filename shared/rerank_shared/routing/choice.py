"""The choice among a route's models: by a hash of the query, so that the same query meets the same model and its cache.

Which models score it once more is chosen by another hash of it, so that the queries of each live model are sampled.

It is weighted rendezvous hashing. Each model draws a number for the query, exponentially distributed, and the smallest
number divided by its weight wins. A model whose weight grows gains queries and loses none; no query moves between the
others. No order of the models matters, and no table of slots is kept.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from hashlib import blake2b

from rerank_shared.routing.route import Share

#: A float has so many bits, and 1.0 is never reached.
_BITS = 53


def choose(shares: Sequence[Share], query: str) -> str:
    """Return the model that answers a query; `shares` has one at least. The same on every machine."""
    if len(shares) == 1:
        return shares[0].model
    digest = blake2b(query.encode(), digest_size=16).digest()
    return min(shares, key=lambda share: (_drawn(digest, share.model) / share.weight, share.model)).model


def shadows(shadow: Sequence[Share], query: str, live: str) -> list[str]:
    """Return the models that score a query once more, after the `live` one; a share that grows loses no query."""
    if not shadow:
        return []
    digest = blake2b(query.encode(), digest_size=16, person=b"shadow").digest()
    return [share.model for share in shadow if share.model != live and _uniform(digest, share.model) < share.weight]


def _drawn(digest: bytes, model: str) -> float:
    """Return the exponentially distributed number that a model draws for a query."""
    return -math.log(_uniform(digest, model))


def _uniform(digest: bytes, model: str) -> float:
    """Return a number between 0 and 1, never one of them."""
    drawn = int.from_bytes(blake2b(digest + model.encode(), digest_size=8).digest()) >> (64 - _BITS)
    return (drawn + 0.5) / float(2**_BITS)
