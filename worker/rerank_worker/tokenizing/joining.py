"""Joiner: joins the tokens of a query with those of each document into encoded pairs.

It builds no Python list of ids, since joining is all the work there is when the documents' tokens are cached.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

import numpy as np

from rerank_worker.tokenizing.template import Template
from rerank_worker.tokenizing.tokens import EncodedPair, Ids, Tokens
from rerank_worker.tokenizing.truncation import longest_first


class Joiner:
    """Joins tokens by a template. Thread-safe."""

    def __init__(self, template: Template) -> None:
        self._before, self._before_types = _arrays(template.before.ids, template.before.type_ids)
        self._between, self._between_types = _arrays(template.between.ids, template.between.type_ids)
        self._after, self._after_types = _arrays(template.after.ids, template.after.type_ids)
        self._query_type, self._document_type = template.query_type_id, template.document_type_id
        self._specials = template.specials

    def join(self, query: Tokens, documents: Sequence[Tokens], room: int) -> list[EncodedPair]:
        """Return the pair of the query with each document, each cut to `room` tokens of text."""
        if not documents:
            return []
        asked = len(query.ids)
        kept = [longest_first(asked, len(document.ids), room) for document in documents]
        heads = {keep: self._head(query, keep) for keep in {keep_query for keep_query, _ in kept}}
        types = np.full(max(keep for _, keep in kept), self._document_type, dtype=np.int64)
        id_parts, type_parts = [], []
        for (keep_query, keep), document in zip(kept, documents, strict=True):
            head, head_types = heads[keep_query]
            id_parts += [head, document.ids[:keep], self._after]
            type_parts += [head_types, types[:keep], self._after_types]
        ids, type_ids = np.concatenate(id_parts, dtype=np.int64), np.concatenate(type_parts)
        ends = accumulate((self._specials + keep_query + keep for keep_query, keep in kept), initial=0)
        return [
            EncodedPair(ids[start:end], type_ids[start:end], keep_query < asked or keep < len(document.ids))
            for (start, end), (keep_query, keep), document in zip(pairwise(ends), kept, documents, strict=True)
        ]

    def _head(self, query: Tokens, keep: int) -> tuple[Ids, Ids]:
        """Return the ids before the document, and their type ids."""
        types = np.full(keep, self._query_type, dtype=np.int64)
        return (
            np.concatenate([self._before, query.ids[:keep], self._between], dtype=np.int64),
            np.concatenate([self._before_types, types, self._between_types]),
        )


def _arrays(*values: Sequence[int]) -> tuple[Ids, ...]:
    return tuple(np.array(each, dtype=np.int64) for each in values)
