"""Weights of an ONNX export of a transformer: read by the names that exporters leave in the graph.

Biases, normalisations and tables keep their state-dict names. Weights of linear layers mostly do not: they are named by
the bias that is added to their product, or by the path of their node. int8 files are de-quantised first. torch is not
needed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from rerank_ops.export.full_precision import to_fp32
from rerank_ops.export.sources.onnx_config import derive_config
from rerank_ops.export.sources.onnx_view import OnnxView, attribute
from rerank_ops.export.sources.weights import Tensor, Weights
from rerank_shared.errors import ConfigurationError, ModelDamaged
from rerank_shared.models.exported import refuse_outside

#: Matches bert.encoder.layer.0.output.dense.bias; not onnx::MatMul_302 or /bert/Constant_output_0.
_STATE_NAME = re.compile(r"[A-Za-z_]\w*(\.\w+)*\.(weight|bias)")
#: Matches /bert/encoder/layer.0/output/dense/MatMul_output_0, also with a quantiser's suffix.
_NODE_PATH = re.compile(r"/(?P<module>[\w./]+)/(MatMul|Gemm)\w*")


def load_onnx(path: Path) -> onnx.ModelProto:
    """Return the model of a file, with the weights from files beside it.

    Raises ModelDamaged if it can't be read, ConfigurationError if it names a file outside of its directory.
    """
    try:
        model = onnx.load(path, load_external_data=False)
        for tensor in _tensors(model.graph):
            if tensor.data_location == onnx.TensorProto.EXTERNAL:
                _read_data(tensor, path.parent)
    except ConfigurationError:
        raise
    except Exception as error:
        # Possible are protobuf's own error for bad bytes, and OSError and ValueError for missing or cut-off data.
        raise ModelDamaged(f"{path} can't be read as an ONNX model: {error}") from None
    return model


def _read_data(tensor: onnx.TensorProto, directory: Path) -> None:
    """Read a tensor's external data into it. The onnx package follows no links; the hub's cache consists of them."""
    where = {entry.key: entry.value for entry in tensor.external_data}
    refuse_outside(directory, where["location"])
    with (directory / where["location"]).open("rb") as file:
        file.seek(int(where.get("offset", 0)))
        length = int(where["length"]) if "length" in where else -1
        data = file.read(length)
    if len(data) < length:
        raise ValueError(f"{where['location']} is cut off: {tensor.name} should have {length} bytes")
    tensor.raw_data = data
    tensor.data_location = onnx.TensorProto.DEFAULT
    del tensor.external_data[:]


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Yield every stored tensor of a graph, those of constants and branches included."""
    yield from graph.initializer
    for node in graph.node:
        for attribute_ in node.attribute:
            yield from (attribute_.t, *attribute_.tensors)
            for inner in (attribute_.g, *attribute_.graphs):
                yield from _tensors(inner)


def from_onnx(path: Path, config: dict[str, Any] | None = None) -> Weights:
    """Return the weights of an ONNX file, int8 ones de-quantised.

    Without `config` the configuration is derived from the graph, which works for BERT, RoBERTa and ELECTRA. Raises
    ConfigurationError where it can't be derived, ModelDamaged where the file can't be read.
    """
    return weights_of(to_fp32(load_onnx(path)), config)


def weights_of(model: onnx.ModelProto, config: dict[str, Any] | None = None) -> Weights:
    """Return the weights of an fp32 graph; see `from_onnx`."""
    view = OnnxView(model)
    tensors = _named(view) | dict(_linears(view))
    return Weights(derive_config(view, tensors) if config is None else config, tensors)


def _named(view: OnnxView) -> dict[str, Tensor]:
    """Return the tensors that kept their name, also where only an Identity has it because another tensor is equal."""
    other_names = [node.output[0] for node in view.nodes if node.op_type == "Identity"]
    found: dict[str, Tensor] = {}
    for name in [*view.stored, *other_names]:
        array = view.constant(name) if _STATE_NAME.fullmatch(name) else None
        if array is not None and array.dtype == np.float32:
            found[name] = array
    return found


def _linears(view: OnnxView) -> Iterator[tuple[str, Tensor]]:
    """Yield the name and weight of each linear layer, as [out, in] in either orientation of its product."""
    for node in view.nodes:
        if node.op_type not in ("MatMul", "Gemm"):
            continue
        array = view.constant(node.input[1])
        if array is None or array.ndim != 2:
            continue
        as_it_is = node.op_type == "Gemm" and attribute(node, "transB", 0)
        yield f"{_module(view, node)}.weight", array if as_it_is else np.ascontiguousarray(array.T)


def _module(view: OnnxView, node: onnx.NodeProto) -> str:
    bias = _bias(view, node)
    if bias is not None:
        return bias.removesuffix(".bias")
    path = _NODE_PATH.fullmatch(node.name) or _NODE_PATH.fullmatch(node.output[0])
    if path is None:
        raise ConfigurationError(
            f"the ONNX graph does not say which layer {node.op_type} {node.name or node.output[0]} is: export from the "
            "model's weights"
        )
    return path["module"].replace("/", ".")


def _bias(view: OnnxView, node: onnx.NodeProto) -> str | None:
    added = [name for after in view.consumers[node.output[0]] if after.op_type == "Add" for name in after.input]
    candidates = [view.root(name) for name in (*node.input[2:], *added)]
    return next((n for n in candidates if n.endswith(".bias") and _STATE_NAME.fullmatch(n)), None)
