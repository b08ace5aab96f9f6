"""Token estimate: the expected tokens of a request before tokenization. The backlog and autoscalers count in them."""

from __future__ import annotations

import math
from collections.abc import Iterable

from rerank_shared.contract.token_ids import Content

#: English text in BERT's WordPiece vocabulary; code and other scripts give more tokens a character.
CHARS_PER_TOKEN = 4.0
#: [CLS] query [SEP] document [SEP]
SPECIAL_TOKENS = 3
_UNKNOWN_MAX_LENGTH = 512


def estimate_lengths(query: str, documents: Iterable[Content], max_length: int | None) -> list[int]:
    """Return the expected tokens of each pair of a request, cut to `max_length`."""
    limit = max_length or _UNKNOWN_MAX_LENGTH
    query_tokens = len(query) / CHARS_PER_TOKEN + SPECIAL_TOKENS
    return [min(limit, math.ceil(query_tokens + _tokens(document))) for document in documents]


def _tokens(document: Content) -> float:
    return len(document) / CHARS_PER_TOKEN if isinstance(document, str) else len(document)
