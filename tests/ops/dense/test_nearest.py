"""Exact search finds the same whatever the blocks, and of equals the earlier one."""

from __future__ import annotations

import numpy as np
import pytest

from rerank_ops.dense.nearest import nearest


@pytest.mark.parametrize("block", [1, 7, 50, 1_000])
@pytest.mark.parametrize("k", [1, 10, 200])
def test_blocks_do_not_change_what_is_found(block: int, k: int) -> None:
    random = np.random.default_rng(11)
    # Whole numbers, so that many scores are equal, to the bit in any block.
    vectors = random.integers(-2, 3, size=(300, 4)).astype(np.float32)
    queries = random.integers(-2, 3, size=(5, 4)).astype(np.float32)
    rows = random.permutation(300)[:101]
    told: list[int] = []
    found = nearest(queries, vectors, rows, k, block=block, tell=told.append)
    for query, hits in zip(queries, found, strict=True):
        scores = [float(query @ vectors[row]) for row in rows]
        assert hits == sorted(enumerate(scores), key=lambda hit: (-hit[1], hit[0]))[:k]
    assert told[-1] == 101


def test_of_nothing_nothing_is_found() -> None:
    assert nearest(np.ones((2, 3), np.float32), np.empty((0, 3), np.float32), np.empty(0, np.int64), 5) == [[], []]
