"""Calls of kernels in int8 graphs: without the library they are today's operators, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from rerank_ops.export.graph import encoder
from rerank_ops.export.graph.arithmetic import Dynamic
from rerank_ops.export.graph.bodies.body import Body, Floats, Layer
from rerank_ops.export.graph.build import TAIL_FILE, build_graphs
from rerank_ops.export.graph.functions.kernel_calls import kernels_take
from rerank_ops.export.graph.functions.stored_calls import kernel_calls
from rerank_ops.export.made import Made
from rerank_shared.models.catalogue import load_files
from rerank_shared.models.precision import LAYOUTS, LayoutName
from rerank_shared.scheduling.runs import RunShape
from rerank_worker.engine import open_engine
from rerank_worker.engine.kernels import kernels_here, library
from support.model.exports import KERNEL_HIDDEN, LAYERS, pairs_of, random_body, write_export

LENGTHS = (40, 4, 17, 130)


@pytest.fixture(scope="module")
def called(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An int8 export that calls kernels."""
    return write_export(tmp_path_factory.mktemp("exports") / "called", "int8", hidden=KERNEL_HIDDEN)


def nodes(graph: Path, domain: str) -> list[onnx.NodeProto]:
    model = onnx.load(graph, load_external_data=False)
    return [node for node in model.graph.node if node.domain == domain]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layer_is_called_by_name(called: Path, layout: LayoutName) -> None:
    names = [node.op_type for node in nodes(called / f"{layout}.onnx", "rerank")]
    assert [name.partition("_")[0] for name in names] == ["EncoderLayer"] * (LAYERS - 1) + ["FirstRows"]


@pytest.mark.parametrize("letters", ["", "u", "qd", "qoud"])
def test_a_call_s_name_tells_which_inputs_are_smoothed(letters: str) -> None:
    """A smoothing vector stands behind the weights for each letter."""
    body = random_body(hidden=KERNEL_HIDDEN)
    smoothing = {name: factors for layer in body.layers for name, factors in smoothed(layer, letters)}
    graph = build_graphs(body, Dynamic(smoothing), ("unpadded",))["unpadded.onnx"].graph
    for node in (node for node in graph.node if node.op_type.startswith("EncoderLayer")):
        assert node.op_type == ("EncoderLayer_" + letters).removesuffix("_")
        assert len(node.input) == 17 + len(letters)
        assert all(name.endswith(".smoothing") for name in node.input[17:])


def smoothed(layer: Layer, letters: str) -> Iterator[tuple[str, Floats]]:
    products = {"q": layer.qkv, "o": layer.attention_out, "u": layer.up, "d": layer.down}
    for letter in letters:
        yield products[letter].name, np.full(len(products[letter].weight), 2, dtype=np.float32)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_without_a_library_the_scores_are_those_of_the_operators(
    called: Path, layout: LayoutName, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ONNX Runtime puts a function's body in the place of its call; no document of ONNX promises that."""
    monkeypatch.setattr(encoder, "kernels_take", lambda body: False)
    plain = write_export(tmp_path / "plain", "int8", hidden=KERNEL_HIDDEN)
    assert not nodes(plain / f"{layout}.onnx", "rerank")
    pairs = pairs_of(LENGTHS)
    engines = [open_engine(load_files(f"file:{each}"), RunShape(layout, pairs=4)) for each in (plain, called)]
    together = [pairs[:1], pairs] if layout != "unpadded" else [pairs]
    for run in together:
        expected, found = (engine.score(run) for engine in engines)
        assert expected.tobytes() == found.tobytes()


def test_the_manifest_says_where_the_weights_of_calls_lie(called: Path) -> None:
    calls = kernel_calls(called / "varlen.onnx")
    assert calls is not None
    assert len(calls.weights) == 4 * (LAYERS - 1)
    assert calls.weights == load_files(f"file:{called}").manifest.kernels.weights  # type: ignore[union-attr]
    stored = np.memmap(called / calls.file, dtype=np.int8, mode="r")
    for offset, inputs, outputs in calls.weights.values():
        weight = stored[offset : offset + inputs * outputs].reshape(inputs, outputs)
        # Each output channel uses its whole range.
        assert np.abs(weight.astype(int)).max(axis=0).min() >= 63


@pytest.mark.parametrize("hidden", [32, 96])
def test_shapes_that_kernels_do_not_take_keep_their_operators(hidden: int) -> None:
    assert not kernels_take(random_body(hidden=hidden))


def test_activations_that_kernels_do_not_know_keep_their_operators() -> None:
    body: Body = random_body(hidden=KERNEL_HIDDEN)
    assert kernels_take(body)
    assert not kernels_take(replace(body, activation="tanh"))


def test_other_precisions_call_nothing(tmp_path: Path) -> None:
    directory = write_export(tmp_path / "static", "int8-static", ("unpadded",), hidden=KERNEL_HIDDEN)
    assert kernel_calls(directory / "unpadded.onnx") is None
    assert load_files(f"file:{directory}").manifest.kernels is None  # type: ignore[union-attr]


@pytest.mark.skipif(not kernels_here("portable"), reason="rerank-fleet-kernels is not installed")
def test_weights_are_packed_once_for_all_kernels_and_layouts(called: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed: list[int] = []
    pack = library.pack

    def counted(weight: Any) -> Any:
        packed.append(weight.size)
        return pack(weight)

    monkeypatch.setattr(library, "pack", counted)
    made = Made(called, {layout: f"{layout}.onnx" for layout in LAYOUTS}, TAIL_FILE)
    pairs = pairs_of(LENGTHS)
    scores = {
        made.engine(layout, kernel=kernel).score(pairs).tobytes()
        for kernel in made.prepared(kernels_here("portable") * 2)
        for layout in LAYOUTS
    }
    assert len(scores) == 1
    assert len(packed) == len(made.kernel_calls.weights)  # type: ignore[union-attr]
