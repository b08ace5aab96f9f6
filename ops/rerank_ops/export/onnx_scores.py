"""Logits of an ONNX graph: changes a graph so that its only output is one logit a pair.

Exporters leave hidden states beside the logits, or a sigmoid or softmax behind them. Workers could invert those only
with the precision of a probability, so they are removed here.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from rerank_shared.errors import ConfigurationError
from rerank_shared.models.onnx_outline import Ending, Node, Outline, scores_output
from rerank_worker.engine.signature import INPUTS

_ONE_LOGIT = "a reranker has one logit a pair"
#: Least distance of probabilities from 0 and 1, which have no log odds.
_NEARLY = np.float32(2.0**-24)


def keep_logits(model: onnx.ModelProto) -> str:
    """Change a graph so that it returns logits alone; return why no built graph can replace it, empty where one can.

    Raises ConfigurationError for inputs or outputs that no cross-encoder has.
    """
    graph = model.graph
    _check_inputs(graph)
    output = scores_output([value.name for value in graph.output])
    kept = next(value for value in graph.output if value.name == output)
    shape = [dim.dim_value for dim in kept.type.tensor_type.shape.dim]
    if len(shape) > 2 or (len(shape) == 2 and shape[1] not in (0, 1)):
        raise ConfigurationError(f"the graph's output {output!r} has shape {shape} (0: any): {_ONE_LOGIT}")
    ending = _ending(graph, output)
    if ending is not None and ending.op_type == "Softmax":
        if not ending.picked:
            raise ConfigurationError(f"the graph's output is a softmax over one label, always 1: {_ONE_LOGIT}")
        kept = _log_odds(graph, kept)
    elif ending is not None:
        _without_sigmoid(graph, output)
    del graph.output[:]
    graph.output.append(kept)
    return "its score is picked from several labels" if ending is not None and ending.picked else ""


def _check_inputs(graph: onnx.GraphProto) -> None:
    names = {value.name for value in graph.input} - {tensor.name for tensor in graph.initializer}
    if not {"input_ids"} <= names <= INPUTS:
        raise ConfigurationError(f"the graph takes {sorted(names)}; a cross-encoder takes {', '.join(sorted(INPUTS))}")


def _ending(graph: onnx.GraphProto, output: str) -> Ending | None:
    return Outline([Node(node.op_type, node.input, node.output) for node in graph.node]).ending(output)


def _without_sigmoid(graph: onnx.GraphProto, output: str) -> None:
    makers = {name: node for node in graph.node for name in node.output}
    node = makers[output]
    while node.op_type != "Sigmoid":
        node = makers[node.input[0]]
    node.op_type = "Identity"


def _log_odds(graph: onnx.GraphProto, probability: onnx.ValueInfoProto) -> onnx.ValueInfoProto:
    """Add log p - log(1 - p) behind an output p; return the new output."""
    stem = f"{probability.name}_log_odds"
    names = {part: f"{stem}_{part}" for part in ("low", "high", "one", "p", "rest", "log_p", "log_rest")}
    values = {"low": _NEARLY, "high": 1 - _NEARLY, "one": np.float32(1)}
    graph.initializer.extend(numpy_helper.from_array(np.asarray(v), names[part]) for part, v in values.items())
    graph.node.extend(
        [
            helper.make_node("Clip", [probability.name, names["low"], names["high"]], [names["p"]]),
            helper.make_node("Sub", [names["one"], names["p"]], [names["rest"]]),
            helper.make_node("Log", [names["p"]], [names["log_p"]]),
            helper.make_node("Log", [names["rest"]], [names["log_rest"]]),
            helper.make_node("Sub", [names["log_p"], names["log_rest"]], [stem]),
        ]
    )
    logits = onnx.ValueInfoProto()
    logits.CopyFrom(probability)
    logits.name = stem
    return logits
