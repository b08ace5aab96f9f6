"""Graphs of 16-bit floats: valid, typed alike throughout, and near fp32, as far as a CPU can tell.

ONNX Runtime runs fp16 on a CPU by converting around most operators, so their rounding is a GPU's and their kernels are
not. Of bf16 a CPU has no kernels at all: that its types are right shows in what a session complains of.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, numpy_helper

from rerank_ops.export.graph.arithmetic import Arithmetic, Full, bfloat16, half
from rerank_ops.export.graph.bodies.body import Body
from rerank_ops.export.graph.build import TAIL_FILE, build_graphs, graph_file
from rerank_ops.export.graph.layout import MASKED
from rerank_ops.export.graph.store import save_graphs
from rerank_shared.models.precision import LAYOUTS, LayoutName
from rerank_shared.scheduling.runs import RunShape
from rerank_worker.engine import ArtefactEngine, DeviceEngine
from rerank_worker.engine.device.shapes import device_feeds
from rerank_worker.engine.providers import ON_CPU
from support.model.exports import MAX_LENGTH, pairs_of, random_body

EACH_LAYOUT = pytest.mark.parametrize("layout", LAYOUTS)
HALVES = pytest.mark.parametrize(
    ("arithmetic", "type_"), [(half(), TensorProto.FLOAT16), (bfloat16(), TensorProto.BFLOAT16)], ids=["fp16", "bf16"]
)
#: fp16 keeps 11 bits; a model of three layers with large random weights adds up to a few of their last ones.
FP16_TOLERANCE = 0.005
LENGTHS = (16, 20, 33, 47, 90, 160)


@pytest.fixture(scope="module")
def body() -> Body:
    return random_body()


def write(directory: Path, body: Body, arithmetic: Arithmetic) -> Path:
    directory.mkdir()
    save_graphs(directory, build_graphs(body, arithmetic, LAYOUTS))
    return directory


@HALVES
@EACH_LAYOUT
def test_are_valid_and_hold_16_bit_weights(
    arithmetic: Arithmetic, type_: int, layout: LayoutName, body: Body, tmp_path: Path
) -> None:
    write(tmp_path / "model", body, arithmetic)
    path = tmp_path / "model" / graph_file(layout)
    onnx.checker.check_model(str(path), full_check=True)
    model = onnx.load(path)
    floats = {tensor.data_type for tensor in model.graph.initializer} - {TensorProto.INT64, TensorProto.INT32}
    assert floats == {type_}
    (rows,) = model.graph.output
    assert rows.type.tensor_type.elem_type == TensorProto.FLOAT


@HALVES
def test_the_tail_stays_in_32_bits(arithmetic: Arithmetic, type_: int, body: Body) -> None:
    tail = build_graphs(body, arithmetic, [])[TAIL_FILE]
    assert type_ not in {tensor.data_type for tensor in tail.graph.initializer}


@HALVES
def test_what_must_not_be_seen_gets_a_finite_score(arithmetic: Arithmetic, type_: int, body: Body) -> None:
    packs = build_graphs(body, arithmetic, ["packed"])[graph_file("packed")]
    (masked,) = (tensor for tensor in packs.graph.initializer if tensor.name == f"const/{MASKED!r}")
    value = numpy_helper.to_array(masked).astype(np.float64)
    assert np.isfinite(value)
    # Any sum with a real score underflows to a share of zero, in softmax's 32 bits and in 16.
    assert value < -20_000


@EACH_LAYOUT
def test_fp16_is_near_fp32(layout: LayoutName, body: Body, tmp_path: Path) -> None:
    pairs, shape = pairs_of(LENGTHS), RunShape(layout, pairs=3, tokens=2_048)
    scores = []
    for name, arithmetic in (("fp32", Full()), ("fp16", half())):
        directory = write(tmp_path / name, body, arithmetic)
        engine = ArtefactEngine(directory / graph_file(layout), directory / TAIL_FILE, shape)
        scores.append(np.concatenate([engine.score([pairs[i] for i in run]) for run in engine.runs(pairs)]))
    exact, found = scores
    assert np.ptp(exact) > 5 * FP16_TOLERANCE
    assert found == pytest.approx(exact, abs=FP16_TOLERANCE)
    assert not np.array_equal(found, exact)


@pytest.mark.parametrize("layout", ["padded", "varlen"])
def test_fp16_does_not_see_padding(layout: LayoutName, body: Body, tmp_path: Path) -> None:
    directory = write(tmp_path / "model", body, half())
    files = directory / graph_file(layout), directory / TAIL_FILE
    engine = ArtefactEngine(*files, RunShape(layout, pairs=8, tokens=10_000))
    pairs = pairs_of((200, 16, 47, 16))
    together = engine.score(pairs)
    alone = [float(engine.score([pair])[0]) for pair in pairs]
    assert together == pytest.approx(alone, abs=FP16_TOLERANCE)
    device = DeviceEngine(*files, RunShape(layout, pairs=8, tokens=10_000), ON_CPU, MAX_LENGTH)
    assert device.score(pairs) == pytest.approx(alone, abs=FP16_TOLERANCE)
    device.close()


@EACH_LAYOUT
def test_bf16_lacks_kernels_on_a_cpu_and_nothing_else(layout: LayoutName, body: Body, tmp_path: Path) -> None:
    """Types are checked before kernels are looked for: a constant of another type would be told instead."""
    directory = write(tmp_path / "model", body, bfloat16())
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    with pytest.raises(Exception, match="NOT_IMPLEMENTED : Could not find an implementation"):
        onnxruntime.InferenceSession(str(directory / graph_file(layout)), options, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("layout", ["padded", "varlen"])
def test_fp16_tells_lengths_and_where_pairs_start(layout: LayoutName, body: Body) -> None:
    """A CPU reads the lengths alone: what follows decides which kernel a GPU takes, and what it reads."""
    model = build_graphs(body, half(), [layout])[graph_file(layout)]
    # One mask for all layers.
    (mask,) = {node.input[4] for node in model.graph.node if node.op_type == "MultiHeadAttention"}
    model.graph.output.append(onnx.helper.make_tensor_value_info(mask, TensorProto.INT32, None))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    feeds = device_feeds(layout, pairs_of((40, 16, 33)))
    (found,) = session.run([mask], {node.name: feeds[node.name] for node in session.get_inputs()})
    starts = [0, 48, 96, 144]
    assert found.tolist() == [40, 16, 33, *starts, *starts]


def test_fp32_tells_lengths_alone(body: Body) -> None:
    model = build_graphs(body, Full(), ["padded"])[graph_file("padded")]
    masks = {node.input[4] for node in model.graph.node if node.op_type == "MultiHeadAttention"}
    assert masks == {"lengths"}
