"""FirstRows in real sessions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kernels.graphs import first_rows_graph, open_session, run
from kernels.reference import first_rows, make_first_rows

pytestmark = pytest.mark.xdist_group("kernels")


@pytest.mark.parametrize(("hidden", "heads"), [(64, 2), (64, 1), (384, 12), (640, 20)])
def test_numbers_are_those_of_the_description(library: Path, hidden: int, heads: int) -> None:
    weights = make_first_rows(hidden, heads)
    lengths = [1, 2, 7, 40, 9, 3, 1, 1, 5, 60]
    rng = np.random.default_rng(0)
    pairs = [rng.standard_normal((length, hidden)).astype(np.float32) for length in lengths]
    found = run(open_session(first_rows_graph(weights), library), np.concatenate(pairs), lengths)
    wanted = np.stack([first_rows(weights, pair) for pair in pairs])
    assert found.shape == (10, (heads + 1) * hidden)
    assert np.abs(found - wanted).max() < 1e-5
    assert np.array_equal(found[:, heads * hidden :], np.stack([pair[0] for pair in pairs]))


def test_a_pair_has_the_same_bits_in_any_company_and_layout(library: Path) -> None:
    weights = make_first_rows(128, 4)
    lengths = [5, 90, 1, 33, 12, 2, 200, 8, 7, 31]
    rng = np.random.default_rng(1)
    padded = rng.standard_normal((10, 210, 128)).astype(np.float32)
    pairs = [row[:length] for row, length in zip(padded, lengths, strict=True)]
    two, three = (open_session(first_rows_graph(weights, rank), library) for rank in (2, 3))
    wanted = np.concatenate([run(two, pair, [len(pair)]) for pair in pairs])
    assert np.array_equal(run(two, np.concatenate(pairs), lengths), wanted)
    assert np.array_equal(run(three, np.concatenate(pairs)[None], lengths), wanted)
    assert np.array_equal(run(three, padded, lengths), wanted)
    alone = open_session(first_rows_graph(weights, lengths=False), library)
    assert np.array_equal(run(alone, pairs[3]), wanted[3:4])


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_a_broken_pair_is_nan_and_harms_no_other(library: Path, odd: float) -> None:
    weights = make_first_rows(64, 2)
    session = open_session(first_rows_graph(weights), library)
    x = np.random.default_rng(2).standard_normal((60, 64)).astype(np.float32)
    sound = run(session, x, [20, 25, 15])
    x[30, 7] = odd
    found = run(session, x, [20, 25, 15])
    assert np.isnan(found[1, :128]).all()
    assert np.array_equal(found[[0, 2]], sound[[0, 2]])
