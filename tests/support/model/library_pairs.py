"""Pairs as the `tokenizers` library itself encodes them."""

from __future__ import annotations

import numpy as np
from tokenizers import Tokenizer

from rerank_worker.tokenizing import EncodedPair


def reference(tokenizer: Tokenizer, query: str, document: str, max_length: int) -> tuple[list[int], list[int], bool]:
    """Return the library's own ids, type ids, and whether it cut anything."""
    tokenizer.no_truncation()
    whole = len(tokenizer.encode(query, document).ids)
    tokenizer.enable_truncation(max_length, strategy="longest_first")
    encoding = tokenizer.encode(query, document)
    return encoding.ids, encoding.type_ids, whole > max_length


def assert_equal(pair: EncodedPair, expected: tuple[list[int], list[int], bool]) -> None:
    assert pair.ids.tolist() == expected[0]
    assert pair.type_ids.tolist() == expected[1]
    assert pair.truncated == expected[2]
    assert pair.tokens == len(expected[0])
    assert pair.ids.dtype == pair.type_ids.dtype == np.int64
