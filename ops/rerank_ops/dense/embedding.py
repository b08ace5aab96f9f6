"""Embedding of many texts: what is not kept already is embedded on all cores, and kept part by part."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from rerank_ops.dense.embedder import Embedder
from rerank_ops.dense.vector_store import DIGEST_BYTES, Rows, VectorStore
from rerank_shared.user_cache import user_cache
from rerank_worker.supervisor.cores import available_cores

#: Of the files' layout, and of all here that vectors depend on.
_RELEASE = 1
#: Texts that are kept together: a few seconds of work, which is what a kill costs.
_PART = 64
#: Called with what is done of what is to do, in characters, which measure the work.
Progress = Callable[[int, int], object]


def store_of(embedder: Embedder, cache: Path | None = None) -> VectorStore:
    """Return the store of an embedder's vectors, in `cache` or else the user's cache directory. Raises OSError."""
    rule = embedder.files.rule
    parts = (_RELEASE, embedder.files.digest, rule.pooling, rule.normalised, rule.max_tokens)
    key = hashlib.blake2b("\n".join(map(str, parts)).encode(), digest_size=DIGEST_BYTES).hexdigest()
    return VectorStore((cache or user_cache() / "embeddings") / key, embedder.width)


def embedded(embedder: Embedder, store: VectorStore, texts: Sequence[str], tell: Progress) -> Rows:
    """Return the row of each text in the store; texts have their prompts. Raises ModelDamaged, OSError."""
    digests = [hashlib.blake2b(text.encode(), digest_size=DIGEST_BYTES).digest() for text in texts]
    known = store.rows_of(digests)
    missing = {digest: text for digest, text, row in zip(digests, texts, known, strict=True) if row < 0}
    if not missing:
        return known
    # By length, so that the threads of a part end together; the longest first, so that they do at the end too.
    ordered = sorted(missing.items(), key=lambda item: -len(item[1]))
    total, done = sum(map(_work, missing.values())), 0
    tell(done, total)
    threads = ThreadPoolExecutor(len(available_cores()), thread_name_prefix="embedding")
    try:
        for start in range(0, len(ordered), _PART):
            part = ordered[start : start + _PART]
            vectors = list(threads.map(embedder.vector, [text for _, text in part]))
            store.append([digest for digest, _ in part], np.stack(vectors))
            done += sum(_work(text) for _, text in part)
            tell(done, total)
    finally:
        threads.shutdown(cancel_futures=True)
    return store.rows_of(digests)


def _work(text: str) -> int:
    """Return the characters of a text that count, about those of the most tokens that it may have."""
    return min(len(text), 1_500) + 1
