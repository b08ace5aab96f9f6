"""The estimate of a request's tokens, before anything has tokenized it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_shared.contract.estimate import SPECIAL_TOKENS, estimate_lengths
from rerank_shared.contract.token_ids import Content, TokenIds

texts = st.text(max_size=200)
limits = st.none() | st.integers(8, 600)


def total(query: str, documents: list[Content], max_length: int | None) -> int:
    return sum(estimate_lengths(query, documents, max_length))


@pytest.mark.parametrize(
    ("query", "documents", "max_length", "tokens"),
    [
        ("", [], 512, 0),
        ("", [""], 512, SPECIAL_TOKENS),
        ("four", ["four"], 512, SPECIAL_TOKENS + 2),
        ("four", ["x" * 10_000], 64, 64),
        ("four", ["x" * 10_000] * 3, None, 3 * 512),
        ("", ["x"], 512, SPECIAL_TOKENS + 1),
        ("four", [TokenIds.of([7] * 5), "four"], 512, 2 * SPECIAL_TOKENS + 6 + 2),
        ("", [TokenIds.of([7] * 100)], 64, 64),
    ],
)
def test_estimates(query: str, documents: list[Content], max_length: int | None, tokens: int) -> None:
    assert total(query, documents, max_length) == tokens


@given(texts, st.lists(texts, max_size=6), limits)
def test_shards_estimate_what_their_request_does(query: str, documents: list[Content], max_length: int | None) -> None:
    halves = [documents[: len(documents) // 2], documents[len(documents) // 2 :]]
    whole = total(query, documents, max_length)
    assert sum(total(query, half, max_length) for half in halves) == whole
    assert isinstance(whole, int)


@given(texts, st.lists(texts, min_size=1, max_size=6), limits)
def test_every_pair_costs_something_and_no_more_than_its_limit(
    query: str, documents: list[Content], max_length: int | None
) -> None:
    tokens = total(query, documents, max_length)
    assert len(documents) * SPECIAL_TOKENS <= tokens <= len(documents) * (max_length or 512)


@given(texts, texts, texts)
def test_longer_text_never_costs_less(query: str, document: str, more: str) -> None:
    assert total(query, [document + more], 512) >= total(query, [document], 512)
