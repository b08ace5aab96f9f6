"""EncoderLayer in real sessions: its numbers, its names, its layouts, and that a pair depends on nothing but itself."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kernels.conftest import Built
from kernels.graphs import layer_graph, open_session, run
from kernels.reference import (
    SUFFIXES,
    Doubles,
    Floats,
    LayerWeights,
    all_steps,
    encoder_layer,
    make_layer,
    steps_in_16_bits,
)

pytestmark = pytest.mark.xdist_group("kernels")

#: Hidden size, heads, inner size: heads of 32, 64 and 96.
SHAPES = ((64, 2, 128), (128, 2, 64), (192, 2, 128), (384, 12, 1536))
#: Of the root mean square of the outcome. bf16 has 8 bits of mantissa; a value beside the border of two bytes goes
#: to the other one.
TOLERANCE = 0.02


def tokens(seed: int, *shape: int) -> Floats:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def expected(library: Path, layer: LayerWeights, x: Floats) -> Doubles:
    """Return what the description says of a pair, by a library's variant."""
    return encoder_layer(layer, x, steps_in_16_bits if library.stem.endswith("_avx2") else all_steps)


def error(found: Floats, wanted: Doubles) -> float:
    """Return the root mean square of the error, relative to that of what is wanted."""
    return float(np.sqrt(((found - wanted) ** 2).mean() / (wanted**2).mean()))


@pytest.mark.parametrize("activation", ["gelu", "gelu_tanh", "relu"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_numbers_are_those_of_the_description(library: Path, shape: tuple[int, int, int], activation: str) -> None:
    layer = make_layer(*shape, activation)
    lengths = [1, 3] if shape[0] > 200 else [1, 2, 11, 12, 13, 31, 33, 70]
    pairs = [tokens(index, length, shape[0]) for index, length in enumerate(lengths)]
    found = run(open_session(layer_graph(layer), library), np.concatenate(pairs), lengths)
    wanted = np.concatenate([expected(library, layer, pair) for pair in pairs])
    assert error(found, wanted) < TOLERANCE


def test_the_activation_is_the_named_one(library: Path) -> None:
    """GELU's two forms are closer to each other than int8 is exact: a layer tells them apart only from ReLU."""
    layer = make_layer(64, 2, 128, "gelu")
    x = tokens(0, 40, 64)
    other = run(open_session(layer_graph(layer, activation="relu"), library), x, [40])
    assert error(other, expected(library, layer, x)) > 3 * TOLERANCE


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_each_suffix_smooths_its_products(library: Path, suffix: str) -> None:
    layer = make_layer(64, 2, 128, suffix=suffix)
    x = tokens(1, 20, 64)
    assert error(run(open_session(layer_graph(layer), library), x, [20]), expected(library, layer, x)) < TOLERANCE


def test_sums_of_the_largest_weights_overflow_nowhere(library: Path) -> None:
    """Four weights of one sign leave 65 times their sum below 2^15, so rows have 64 steps: a zero point may add one."""
    layer = make_layer(128, 2, 192)
    signs = np.random.default_rng(0).choice([-126, 126], 576).astype(np.int8)
    weight = {name: np.broadcast_to(signs[: w.shape[1]], w.shape).copy() for name, w in layer.weight.items()}
    scale = {name: scales / np.float32(10) for name, scales in layer.scale.items()}
    layer = replace(layer, weight=weight, scale=scale)
    # Halves of a step, which are rounded to either side.
    low = np.arange(1.5, 65, 2, dtype=np.float32)[:, None]
    x: Floats = np.repeat((65 - low) / np.float32(20), 128, axis=1)
    x[:, :1] = -low / np.float32(20)
    found = run(open_session(layer_graph(layer), library), x, [len(x)])
    assert error(found, expected(library, layer, x)) < TOLERANCE


def test_layouts_agree_to_the_bit(library: Path) -> None:
    """[T, H] and [1, T, H] end to end, [P, L, H] padded, and one pair without `lengths`."""
    layer = make_layer(128, 2, 64, suffix="qd")
    lengths = [5, 40, 1, 13]
    pairs = [tokens(index, length, 128) for index, length in enumerate(lengths)]
    flat = np.concatenate(pairs)
    two, three = (open_session(layer_graph(layer, rank), library) for rank in (2, 3))
    end_to_end = run(two, flat, lengths)
    assert np.array_equal(run(three, flat[None], lengths), end_to_end[None])

    padded = np.full((4, 44, 128), np.nan, np.float32)
    for row, pair in zip(padded, pairs, strict=True):
        row[: len(pair)] = pair
    found = run(three, padded, lengths)
    for row, length, wanted in zip(found, lengths, np.split(end_to_end, np.cumsum(lengths)[:-1]), strict=True):
        assert np.array_equal(row[:length], wanted)
        assert not row[length:].any()
    assert np.array_equal(run(three, padded[1:2], [40])[0, :40], found[1, :40])

    for rank, x in ((2, pairs[1]), (3, pairs[1][None])):
        session = open_session(layer_graph(layer, rank, lengths=False), library)
        assert np.array_equal(run(session, x).reshape(40, 128), found[1, :40])


def test_inputs_behind_the_lengths_are_ignored(library: Path) -> None:
    layer = make_layer(64, 2, 64, suffix="u")
    x = tokens(2, 9, 64)
    plain = run(open_session(layer_graph(layer), library), x, [4, 5])
    session = open_session(layer_graph(layer, ignored=("mask",)), library)
    feeds: dict[str, NDArray[np.generic]] = {"x": x, "lengths": np.array([4, 5], np.int32)}
    assert np.array_equal(session.run(None, feeds | {"mask": np.ones((3, 7), np.int64)})[0], plain)


@pytest.mark.parametrize("seed", range(6))
def test_a_pair_has_the_same_bits_in_any_company(library: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    layer = make_layer(64, 2, 192, ("gelu", "gelu_tanh", "relu")[seed % 3], seed=seed)
    session = open_session(layer_graph(layer), library)
    # 256 tokens and more are worked on in several groups.
    lengths = [int(length) for length in rng.integers(1, 120, int(rng.integers(2, 9)))]
    pairs = [tokens(seed * 100 + index, length, 64) for index, length in enumerate(lengths)]
    alone = [run(session, pair, [len(pair)]) for pair in pairs]
    for order in (range(len(pairs)), rng.permutation(len(pairs))):
        found = run(session, np.concatenate([pairs[i] for i in order]), [lengths[i] for i in order])
        assert np.array_equal(found, np.concatenate([alone[i] for i in order]))


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_a_broken_pair_is_nan_and_harms_no_other(library: Path, odd: float) -> None:
    layer = make_layer(64, 2, 128)
    session = open_session(layer_graph(layer), library)
    x = tokens(3, 60, 64)
    sound = run(session, x, [20, 25, 15])
    x[30, 7] = odd
    found = run(session, x, [20, 25, 15])
    assert np.isnan(found[20:45]).all()
    assert np.array_equal(found[:20], sound[:20])
    assert np.array_equal(found[45:], sound[45:])


def test_packed_weights_give_the_same_bits_where_they_lie(built: Built, library: Path, tmp_path: Path) -> None:
    layer = make_layer(128, 4, 192, suffix="o")
    x = tokens(4, 30, 128)
    packed = {}
    for name, weight in layer.weight.items():
        values = built.package.pack(weight)
        (tmp_path / name).write_bytes(bytes(64) + values.tobytes())
        packed[name] = np.memmap(tmp_path / name, np.int8, "r", 64, values.shape)
    plain = run(open_session(layer_graph(layer), library), x, [30])
    assert np.array_equal(run(open_session(layer_graph(layer), library, packed), x, [30]), plain)


def test_threads_share_a_session(library: Path) -> None:
    layer = make_layer(64, 2, 128)
    session = open_session(layer_graph(layer), library)
    inputs = [tokens(seed, 7 + 9 * seed, 64) for seed in range(8)]
    wanted = [run(session, x, [len(x)]) for x in inputs]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda x: run(session, x, [len(x)]), inputs * 8))
    assert all(np.array_equal(one, two) for one, two in zip(found, wanted * 8, strict=True))


def test_variants_agree(built: Built) -> None:
    """The instruction sets differ in roundings, and in the steps of rows beside large weights."""
    layer = make_layer(64, 2, 128, suffix="qoud")
    x = tokens(5, 50, 64)
    model = layer_graph(layer)
    here = [variant for variant in built.package.VARIANTS if built.package.runs_here(variant) is None]
    first, *others = [run(open_session(model, built.library(variant)), x, [50]) for variant in here]
    for other in others:
        assert error(other, first.astype(np.float64)) < 2 * TOLERANCE
