"""Outlines of ONNX files, held against the onnx package itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto

from rerank_shared.models.catalogue import load_files
from rerank_shared.models.onnx_outline import BFLOAT16, FLOAT, FLOAT16, Outline, read_outline, scores_output
from rerank_shared.settings import Settings
from support.model.tiny_graphs import Ending, write_tiny


def test_the_numbers_are_the_format_s() -> None:
    assert (FLOAT, FLOAT16, BFLOAT16) == (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16)


def test_a_real_model_is_read_as_the_onnx_package_reads_it() -> None:
    path = load_files(Settings().model).model_path
    graph, outline = onnx.load(path).graph, read_outline(path)
    assert [(n.op_type, list(n.input), list(n.output)) for n in graph.node] == [
        (node.op_type, node.inputs, node.outputs) for node in outline.nodes
    ]
    assert outline.outputs == [value.name for value in graph.output]
    assert outline.elements is not None
    for data_type, count in outline.elements.items():
        assert count == sum(int(np.prod(t.dims)) for t in graph.initializer if t.data_type == data_type)
    assert outline.ending("logits") is None


@pytest.mark.parametrize(
    ("ending", "op_type", "picked"),
    [
        ("logit", None, False),
        ("sigmoid", "Sigmoid", False),
        ("sigmoid behind a cast", "Sigmoid", False),
        ("softmax of two", "Softmax", True),
        ("softmax of one", "Softmax", False),
    ],
)
@pytest.mark.parametrize("data_file", [None, "weights.bin"])
def test_what_a_graph_ends_in(
    ending: Ending, op_type: str | None, picked: bool, data_file: str | None, tmp_path: Path
) -> None:
    found = read_outline(write_tiny(tmp_path / "model.onnx", ending, data_file=data_file)).ending("logits")
    assert (found and found.op_type) == op_type
    assert found is None or found.picked == picked


def test_weights_in_a_data_file_are_counted_too(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "model.onnx", weights=np.float16, data_file="weights.bin")
    assert read_outline(path).most_weights_are(FLOAT16)
    assert not read_outline(path).most_weights_are(FLOAT)
    assert not Outline().most_weights_are(FLOAT)


def test_the_scores_are_the_output_called_logits_else_the_first() -> None:
    assert scores_output(["hidden", "logits"]) == "logits"
    assert scores_output(["score", "hidden"]) == "score"


@given(st.binary(max_size=200), st.integers(0, 2_000))
def test_whatever_a_file_holds_reading_it_ends(tmp_path_factory: pytest.TempPathFactory, noise: bytes, at: int) -> None:
    directory = tmp_path_factory.getbasetemp()
    whole = directory / "whole.onnx"
    if not whole.exists():
        write_tiny(whole, data_file="whole.bin")
    data = bytearray(whole.read_bytes())
    data[at : at + len(noise)] = noise
    (directory / "odd.onnx").write_bytes(bytes(data))
    outline = read_outline(directory / "odd.onnx")
    assert all(outline.ending(name) is None or outline.nodes for name in outline.outputs)


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x3a\x02\x0a\x7f", b"\xff" * 30, b"\x3a\x03\x0a\x01\xff"])
def test_what_is_no_model_says_nothing(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    assert not read_outline(path).nodes
