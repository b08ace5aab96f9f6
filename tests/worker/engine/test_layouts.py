"""The inputs that each layout makes of pairs: every token once and in its place, and padding is never read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_worker.engine.layouts import LAYOUTS, packed, padded, unpadded, varlen
from rerank_worker.tokenizing import EncodedPair


@st.composite
def batches(draw: st.DrawFn) -> list[EncodedPair]:
    """Pairs whose every token is another number, so that none can stand for another."""
    lengths = draw(st.lists(st.integers(1, 40), min_size=1, max_size=8))
    ids = iter(np.split(np.arange(1, sum(lengths) + 1), np.cumsum(lengths)[:-1]))
    types = draw(st.lists(st.integers(0, 1), min_size=sum(lengths), max_size=sum(lengths)))
    drawn = iter(np.split(np.array(types), np.cumsum(lengths)[:-1]))
    return [EncodedPair(next(ids), next(drawn), truncated=False) for _ in lengths]


def tokens(pairs: Sequence[EncodedPair]) -> list[int]:
    return [int(token) for pair in pairs for token in pair.ids]


def types(pairs: Sequence[EncodedPair]) -> list[int]:
    return [int(kind) for pair in pairs for kind in pair.type_ids]


def positions(pairs: Sequence[EncodedPair]) -> list[int]:
    return [position for pair in pairs for position in range(pair.tokens)]


@given(batches())
def test_single_is_the_pair_as_it_is(pairs: list[EncodedPair]) -> None:
    feeds = unpadded(pairs[:1])
    assert feeds.keys() == {"input_ids", "token_type_ids"}
    assert feeds["input_ids"].tolist() == [pairs[0].ids.tolist()]
    assert feeds["token_type_ids"].tolist() == [pairs[0].type_ids.tolist()]


def test_single_takes_one_pair() -> None:
    pair = EncodedPair(np.arange(3), np.zeros(3, np.int64), truncated=False)
    with pytest.raises(ValueError, match="unpack"):
        unpadded([pair, pair])


@given(batches())
def test_buckets_hold_each_pair_up_to_its_length_and_nothing_beyond(pairs: list[EncodedPair]) -> None:
    feeds = padded(pairs)
    assert feeds["lengths"].tolist() == [pair.tokens for pair in pairs]
    assert feeds["input_ids"].shape == (len(pairs), max(pair.tokens for pair in pairs))
    for row, pair in enumerate(pairs):
        rest = feeds["input_ids"].shape[1] - pair.tokens
        assert feeds["input_ids"][row].tolist() == pair.ids.tolist() + [0] * rest
        assert feeds["token_type_ids"][row].tolist() == pair.type_ids.tolist() + [0] * rest
        assert feeds["attention_mask"][row].tolist() == [1] * pair.tokens + [0] * rest


@given(batches())
def test_ragged_holds_every_token_once(pairs: list[EncodedPair]) -> None:
    feeds = varlen(pairs)
    assert feeds["input_ids"].tolist() == tokens(pairs)
    assert feeds["token_type_ids"].tolist() == types(pairs)
    assert feeds["position_ids"].tolist() == positions(pairs)
    assert feeds["lengths"].tolist() == [pair.tokens for pair in pairs]


@given(batches())
def test_ragged_maps_to_padded_rows_and_back(pairs: list[EncodedPair]) -> None:
    feeds = varlen(pairs)
    padded = feeds["input_ids"][feeds["padded_from"]]
    for row, pair in enumerate(pairs):
        assert padded[row, : pair.tokens].tolist() == pair.ids.tolist()
    assert padded.reshape(-1)[feeds["packed_from"]].tolist() == tokens(pairs)


@given(batches())
def test_ragged_reads_no_padding_on_the_way_back(pairs: list[EncodedPair]) -> None:
    """What attention leaves in the padding is of no pair: poison there must not reach any token."""
    feeds = varlen(pairs)
    rows = feeds["input_ids"][feeds["padded_from"]].astype(np.float64)
    rows[np.arange(rows.shape[1]) >= feeds["lengths"][:, None]] = np.nan
    assert rows.reshape(-1)[feeds["packed_from"]].tolist() == tokens(pairs)


@given(batches())
def test_packs_hold_every_token_once_and_say_whose_it_is(pairs: list[EncodedPair]) -> None:
    feeds = packed(pairs)
    assert feeds["input_ids"].tolist() == [tokens(pairs)]
    assert feeds["token_type_ids"].tolist() == [types(pairs)]
    assert feeds["position_ids"].tolist() == [positions(pairs)]
    for number, pair in enumerate(pairs):
        assert feeds["input_ids"][0, feeds["pair_of"] == number].tolist() == pair.ids.tolist()
        assert feeds["input_ids"][0, feeds["first"][number]] == pair.ids[0]


@given(batches())
def test_maps_are_within_what_they_point_into(pairs: list[EncodedPair]) -> None:
    """ONNX Runtime fails on an index that is not, and takes a negative one from the end."""
    total, area = len(tokens(pairs)), len(pairs) * max(pair.tokens for pair in pairs)
    feeds, maps = varlen(pairs), packed(pairs)
    for indices, end in (
        (feeds["padded_from"], total),
        (feeds["packed_from"], area),
        (maps["first"], total),
        (maps["pair_of"], len(pairs)),
    ):
        assert indices.min() >= 0
        assert indices.max() < end


@given(batches())
def test_types_are_those_that_graphs_declare(pairs: list[EncodedPair]) -> None:
    for name, layout in LAYOUTS.items():
        for feed, values in layout(pairs[:1] if name == "unpadded" else pairs).items():
            assert values.dtype == (np.int32 if feed == "lengths" else np.int64), (name, feed)
