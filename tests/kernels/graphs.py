"""Graphs of one node and sessions on them, as ONNX Runtime loads and runs them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from kernels.reference import PRODUCTS, FirstRowsWeights, Floats, LayerWeights

OPSETS = [helper.make_opsetid("", 20), helper.make_opsetid("rerank", 1)]


def constants_of(layer: LayerWeights) -> dict[str, NDArray[np.generic]]:
    """Return the constant inputs of an EncoderLayer by name, in the order of its inputs."""
    found: dict[str, NDArray[np.generic]] = {}
    for name, norm in (("qkv", ""), ("out", "attention"), ("up", ""), ("down", "output")):
        found |= {name: layer.weight[name], f"{name}.scale": layer.scale[name], f"{name}.bias": layer.bias[name]}
        if norm:
            found |= dict(zip((f"{norm}.weight", f"{norm}.bias"), layer.norms[norm], strict=True))
    return found | {f"{name}.smoothing": layer.smoothing[name] for name in PRODUCTS.values() if name in layer.smoothing}


def layer_graph(
    layer: LayerWeights, rank: int = 2, *, lengths: bool = True, ignored: Sequence[str] = (), **changes: Any
) -> ModelProto:
    """Return a graph of one EncoderLayer; `changes` replace attributes, or constants where they are arrays."""
    attributes: dict[str, Any] = {
        "heads": layer.heads,
        "activation": layer.activation,
        "attention_epsilon": layer.epsilon,
        "output_epsilon": layer.epsilon,
    }
    constants = constants_of(layer)
    for name, change in changes.items():
        if isinstance(change, np.ndarray):
            constants[name] = change
        else:
            attributes[name] = change
    suffix = "".join(letter for letter, name in PRODUCTS.items() if name in layer.smoothing)
    name = f"EncoderLayer_{suffix}" if suffix else "EncoderLayer"
    return graph(name, attributes, constants, rank, lengths=lengths, ignored=ignored)


def first_rows_graph(weights: FirstRowsWeights, rank: int = 2, *, lengths: bool = True) -> ModelProto:
    """Return a graph of one FirstRows."""
    constants: dict[str, NDArray[np.generic]] = {"query": weights.query, "bias": weights.bias, "key": weights.key}
    return graph("FirstRows", {"heads": len(weights.key)}, constants, rank, lengths=lengths)


def graph(
    name: str,
    attributes: Mapping[str, Any],
    constants: Mapping[str, NDArray[np.generic]],
    rank: int,
    *,
    lengths: bool,
    ignored: Sequence[str] = (),
) -> ModelProto:
    """Return a graph x, lengths, ignored -> y of one node."""
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None] * rank)]
    names = ["x", *constants]
    if lengths:
        inputs.append(helper.make_tensor_value_info("lengths", TensorProto.INT32, [None]))
        names.append("lengths")
    inputs += [helper.make_tensor_value_info(one, TensorProto.INT64, [None, None]) for one in ignored]
    node = helper.make_node(name, [*names, *ignored], ["y"], domain="rerank", **attributes)
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    initializers = [numpy_helper.from_array(np.asarray(value), one) for one, value in constants.items()]
    made = helper.make_graph([node], "g", inputs, [output], initializers)
    return helper.make_model(made, opset_imports=OPSETS, ir_version=10)


def open_session(
    model: ModelProto, library: Path, initializers: Mapping[str, NDArray[np.generic]] | None = None
) -> onnxruntime.InferenceSession:
    """Open a graph with a library's operators; `initializers` are handed over in memory, in place of the graph's."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    options.register_custom_ops_library(str(library))
    # ONNX Runtime only points to them: they must live as long as the session.
    values = {name: onnxruntime.OrtValue.ortvalue_from_numpy(value) for name, value in (initializers or {}).items()}
    for name, value in values.items():
        options.add_initializer(name, value)
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    session.kept = values
    return session


def run(session: onnxruntime.InferenceSession, x: Floats, lengths: Sequence[int] | None = None) -> Floats:
    """Run a session's only output."""
    feeds: dict[str, NDArray[np.generic]] = {"x": x}
    if lengths is not None:
        feeds["lengths"] = np.array(lengths, np.int32)
    result: Floats = session.run(None, feeds)[0]
    return result
