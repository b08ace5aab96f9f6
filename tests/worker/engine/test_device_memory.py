"""What the engine for GPUs runs over: inputs in few shapes, in buffers that stay."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_shared.models.precision import LAYOUTS, LayoutName
from rerank_worker.engine.device.buffers import Buffer
from rerank_worker.engine.device.shapes import device_feeds, round_pairs, round_tokens
from support.model.exports import pairs_of

PADDED_PLANS = pytest.mark.parametrize("layout", [layout for layout in LAYOUTS if layout != "unpadded"])


class TestShapes:
    @given(st.integers(1, 40_000))
    def test_lengths_are_few_and_an_eighth_too_long_at_most(self, tokens: int) -> None:
        rounded = round_tokens(tokens)
        assert rounded >= tokens
        assert rounded % 16 == 0
        assert rounded - tokens < max(16, tokens / 4)
        assert round_tokens(rounded) == rounded

    def test_how_few(self) -> None:
        assert len({round_tokens(n) for n in range(1, 513)}) == 16
        assert len({round_pairs(n) for n in range(1, 257)}) <= 32
        assert [round_pairs(n) for n in (1, 2, 7, 8, 9, 33)] == [1, 2, 7, 8, 10, 40]

    @pytest.mark.parametrize(("tokens", "most", "rounded"), [(290, 300, 300), (290, 512, 320), (301, 300, 301)])
    def test_no_pair_is_padded_beyond_the_model_s_positions(self, tokens: int, most: int, rounded: int) -> None:
        assert round_tokens(tokens, most) == rounded

    @PADDED_PLANS
    @given(st.lists(st.integers(16, 90), min_size=1, max_size=9))
    def test_recur(self, layout: LayoutName, lengths: list[int]) -> None:
        """Runs that differ by little have the same shapes, where shapes have to recur."""
        shapes = {name: array.shape for name, array in device_feeds(layout, pairs_of(lengths), recurring=True).items()}
        for name, shape in shapes.items():
            for size in shape:
                known = (1, round_pairs(len(lengths)))
                assert size in known or size == round_tokens(size), f"{name} has shape {shape}"

    def test_single_pairs_are_left_as_they_are(self) -> None:
        (one,) = pairs_of((33,))
        assert device_feeds("unpadded", [one])["input_ids"].tolist() == [one.ids.tolist()]


class TestBuffers:
    def test_move_only_to_grow(self) -> None:
        buffer = Buffer("cpu", np.int64)
        buffer.write([np.arange(100)])
        address = buffer.pointer()
        buffer.write([np.arange(28), np.arange(100, 200)])
        assert (buffer.moves, buffer.pointer()) == (1, address)
        assert buffer.read(128).tolist() == [*range(28), *range(100, 200)]
        buffer.write([np.arange(129)])
        assert buffer.moves == 2
        assert buffer.pointer(3) == buffer.pointer() + 24

    def test_what_was_read_stays(self) -> None:
        buffer = Buffer("cpu", np.float32)
        buffer.write([np.ones(4, dtype=np.float32)])
        found = buffer.read(4)
        buffer.write([np.zeros(4, dtype=np.float32)])
        assert found.tolist() == [1.0] * 4
