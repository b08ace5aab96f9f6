"""Pair digest: the cache key of a pair, made from everything that its logit depends on and from nothing else.

Where tenants must learn nothing of one another, the tenant is a part of it too. Each part is length-prefixed, so that
no two different (query, document) pairs collide by where one text ends and the next begins. A document given as token
ids has another digest than its text. BLAKE2b at 128 bits: two of 2^40 different pairs collide with a chance of about
2^-49.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache

from rerank_shared.contract.messages import ScoringIdentity
from rerank_shared.contract.token_ids import Content

DIGEST_BYTES = 16
_LENGTH_BYTES = 8
#: Marks token ids: stands in place of a text's length, and is the length of no text.
_TOKEN_IDS = b"\xff" * _LENGTH_BYTES
#: Marks a tenant: stands before it, and is the length of no text either.
_TENANT = b"\xfe" * _LENGTH_BYTES


def pair_digests(
    identity: ScoringIdentity,
    max_length: int,
    query: str,
    documents: Iterable[Content],
    *,
    cache_tenant: str | None = None,
) -> list[bytes]:
    """Return the digest of each (query, document) pair under `identity`, truncated to `max_length` tokens.

    With a `cache_tenant` the digests are that tenant's alone; None makes those that the fleet shares.
    """
    prefix = hashlib.blake2b(digest_size=DIGEST_BYTES)
    if cache_tenant is not None:
        prefix.update(_TENANT + _prefixed(cache_tenant.encode()))
    parts = (
        identity.model_digest, identity.precision, identity.tokenizer_digest, identity.template,
        str(max_length), identity.truncation, query,
    )  # fmt: skip
    for part in parts:
        prefix.update(_prefixed(part.encode()))
    digests = []
    for document in documents:
        digest = prefix.copy()
        digest.update(_marked(document))
        digests.append(digest.digest())
    return digests


#: Hexadecimal digits of a pool's id: among a thousand pools, two share one with a chance of about 2^-29.
_POOL_DIGITS = 12


@lru_cache(maxsize=64)
def pool_id(identity: ScoringIdentity) -> str:
    """Return the id of the pool of workers that serve an identity: 12 hexadecimal digits.

    Workers of one pool answer alike. So it depends on all that a score depends on, and on activation and the largest
    max_length, which an answer shows; not on the model's name.
    """
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for part in (identity_digest(identity), identity.activation, str(identity.max_length)):
        digest.update(_prefixed(part.encode()))
    return digest.hexdigest()[:_POOL_DIGITS]


@lru_cache(maxsize=64)
def identity_digest(identity: ScoringIdentity) -> str:
    """Return 32 hexadecimal digits that name a scoring identity: equal for identities that score alike."""
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for part in (
        identity.model_digest, identity.precision, identity.tokenizer_digest, identity.template, identity.truncation
    ):  # fmt: skip
        digest.update(_prefixed(part.encode()))
    return digest.hexdigest()


def file_digest(path: str) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _marked(document: Content) -> bytes:
    return _prefixed(document.encode()) if isinstance(document, str) else _TOKEN_IDS + _prefixed(document.packed)


def _prefixed(data: bytes) -> bytes:
    return len(data).to_bytes(_LENGTH_BYTES, "little") + data
