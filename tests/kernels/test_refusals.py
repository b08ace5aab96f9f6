"""What the operators don't take is refused in words, when the session is opened or the run is asked for."""

from __future__ import annotations

import ctypes
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from kernels.conftest import VARIANTS, Built, refused
from kernels.graphs import first_rows_graph, layer_graph, open_session, run
from kernels.reference import make_first_rows, make_layer

pytestmark = pytest.mark.xdist_group("kernels")

LAYER = make_layer(64, 2, 128)


@pytest.fixture
def portable(built: Built) -> Path:
    return built.library("portable")


@pytest.mark.parametrize(
    ("x", "lengths", "words"),
    [
        ((10, 64), [4, 5], "x has 10 rows, and the lengths add up to 9"),
        ((10, 64), [10, 0], "pair 1 has 0 tokens; 1 to 8192 are possible"),
        ((10, 64), [11, -1], "pair 1 has -1 tokens"),
        ((10, 64), [], "names no pair"),
        ((8193, 64), [8193], "pair 0 has 8193 tokens"),
        ((10, 32), [10], "the last of them 64"),
    ],
)
def test_rows_that_fit_no_pairs(portable: Path, x: tuple[int, ...], lengths: list[int], words: str) -> None:
    session = open_session(layer_graph(LAYER), portable)
    with refused(words):
        run(session, np.zeros(x, np.float32), lengths)


@pytest.mark.parametrize(
    ("x", "lengths", "words"),
    [
        ((3, 10, 64), [10, 10], "x holds 3 pairs, and `lengths` names 2"),
        ((3, 10, 64), [10, 11, 10], "pair 1 has 11 tokens; 1 to 10 are possible"),
        ((1, 10, 64), [4, 4], "x has 10 rows, and the lengths add up to 8"),
    ],
)
def test_padded_rows_that_fit_no_pairs(portable: Path, x: tuple[int, ...], lengths: list[int], words: str) -> None:
    session = open_session(layer_graph(LAYER, 3), portable)
    with refused(words):
        run(session, np.zeros(x, np.float32), lengths)


def test_several_pairs_without_lengths(portable: Path) -> None:
    for model in (layer_graph(LAYER, 3, lengths=False), first_rows_graph(make_first_rows(64, 2), 3, lengths=False)):
        session = open_session(model, portable)
        with refused("several pairs, and input `lengths` is missing"):
            run(session, np.zeros((2, 10, 64), np.float32))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"heads": 3}, "hidden size 64 with 3 heads and inner size 128: the kernels take .* multiples of 64"),
        ({"heads": 0}, "hidden size 64 with 0 heads"),
        ({"heads": 2**59}, "hidden size 64 with 576460752303423488 heads"),
        ({"activation": "silu"}, "none of gelu, gelu_tanh, relu"),
        ({"activation": "x" * 100}, "none of gelu, gelu_tanh, relu"),
        ({"qkv": np.zeros((64, 128), np.int8)}, r"input 1 \(qkv weight\) is neither int8 \[64, 192\] nor packed"),
        ({"up": np.zeros((64, 128), np.uint8)}, r"input 9 \(up weight\) is neither int8"),
        ({"up": np.zeros((64, 100), np.int8)}, "inner size 100"),
        ({"out.scale": np.zeros(63, np.float32)}, r"input 5 \(scale\) is not a float tensor of the shape"),
        ({"output.bias": np.zeros(64, np.float64)}, r"input 16 \(norm bias\) is not a float tensor"),
    ],
)
def test_weights_that_the_kernels_dont_take(portable: Path, changes: dict[str, Any], words: str) -> None:
    with refused(words):
        open_session(layer_graph(LAYER, **changes), portable)


def test_weights_that_are_no_constants(portable: Path) -> None:
    model = layer_graph(LAYER)
    model.graph.node[0].input[1] = "x"
    with refused(r"input 1 \(qkv\) is not a constant of the graph"):
        open_session(model, portable)


def test_smoothing_that_is_missing(portable: Path) -> None:
    model = layer_graph(LAYER, lengths=False)
    model.graph.node[0].op_type = "EncoderLayer_o"
    with refused(r"input 17 \(smoothing\) is not a constant"):
        open_session(model, portable)


def test_packed_weights_off_the_cache_line(built: Built, portable: Path) -> None:
    packed = built.package.pack(LAYER.weight["qkv"])
    room = np.zeros(packed.size + 128, np.int8)
    start = -room.ctypes.data % 64 + 16
    shifted = room[start : start + packed.size].reshape(packed.shape)
    shifted[:] = packed
    with refused(r"input 1 \(qkv weight\) is packed and not aligned to 64 bytes"):
        open_session(layer_graph(LAYER), portable, {"qkv": shifted})


def test_first_rows_of_other_shapes(portable: Path) -> None:
    weights = make_first_rows(64, 2)
    with refused("hidden size 96 with 2 heads: FirstRows takes hidden sizes that are multiples of 64"):
        open_session(first_rows_graph(replace(weights, query=np.zeros((96, 96), np.float32))), portable)
    many = first_rows_graph(weights)
    many.graph.node[0].attribute[0].i = 2**59
    with refused("hidden size 64 with 576460752303423488 heads"):
        open_session(many, portable)
    with refused(r"input 2 \(query bias\) is not a float tensor of the shape"):
        open_session(first_rows_graph(replace(weights, bias=np.zeros(65, np.float32))), portable)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_that_the_cpu_lacks_is_not_registered(built: Built, variant: str) -> None:
    if built.package.runs_here(variant) is None:
        pytest.skip("this CPU runs it")
    with refused("don't run here: this CPU"):
        onnxruntime.SessionOptions().register_custom_ops_library(str(built.package.library(variant)))


def test_an_older_onnx_runtime_is_told_which_it_must_be(portable: Path) -> None:
    """An interface that knows version 1 alone, as a release before 1.19 would answer."""
    get_api, words, version = (
        ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_uint32),
        ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p),
        ctypes.CFUNCTYPE(ctypes.c_void_p),
    )
    said: list[bytes] = []

    def status(code: int, text: bytes) -> int:
        said.append(text)
        return 1

    create_status = words(status)
    table = (ctypes.c_void_p * 1)(ctypes.cast(create_status, ctypes.c_void_p))
    text = ctypes.create_string_buffer(b"1.17.3")
    api = get_api(lambda asked: ctypes.addressof(table) if asked == 1 else None)
    name = version(lambda: ctypes.addressof(text))
    base = (ctypes.c_void_p * 2)(ctypes.cast(api, ctypes.c_void_p), ctypes.cast(name, ctypes.c_void_p))
    register = ctypes.CDLL(str(portable)).RegisterCustomOps
    register.argtypes, register.restype = [ctypes.c_void_p, ctypes.c_void_p], ctypes.c_void_p
    assert register(None, ctypes.addressof(base)) == 1
    assert said == [b"the kernels `portable` need ONNX Runtime 1.19 or newer; this is 1.17.3"]
