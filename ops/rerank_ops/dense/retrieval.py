"""Dense retrieval: the documents whose vectors are nearest to each query's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rerank_ops.dense.embedder import Embedder
from rerank_ops.dense.embedder_files import EmbedderFiles
from rerank_ops.dense.embedding import Progress, embedded, store_of
from rerank_ops.dense.nearest import nearest


def retrieved(
    files: EmbedderFiles,
    texts: Mapping[str, str],
    queries: Mapping[str, str],
    k: int,
    *,
    cache: Path | None = None,
    tell: Progress = lambda done, total: None,
) -> dict[str, tuple[tuple[str, float], ...]]:
    """Return for each query the ids of the `k` nearest documents with their scores, best first.

    A document without text is never found. Vectors are kept in `cache`, or else in the user's cache directory. Raises
    ModelDamaged, OSError.
    """
    embedder = Embedder(files)
    store = store_of(embedder, cache)
    names = [name for name, text in texts.items() if text.strip()]
    rows = embedded(embedder, store, [files.rule.document_prompt + texts[name] for name in names], tell)
    asked = embedded(embedder, store, [files.rule.query_prompt + text for text in queries.values()], lambda *_: None)
    vectors = store.vectors()
    found = nearest(vectors[asked], vectors, rows, k)
    return {
        query: tuple((names[place], score) for place, score in hits) for query, hits in zip(queries, found, strict=True)
    }
