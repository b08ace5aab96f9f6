"""Signature of a plain ONNX graph: adapts its inputs and output to token ids in and one logit a pair out.

Exporters differ: 32-bit ids, a second output, scores without an axis for labels, a sigmoid at the end. If the graph
gives a probability, the logit is its log odds, so that the activation is applied once. A 32-bit float holds odds up to
2^24 to one, so pairs above a logit of 16.6 tie. So do pairs below -18, where ONNX Runtime's sigmoid is 0 on the CPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rerank_shared.errors import ConfigurationError
from rerank_shared.models.onnx_outline import read_outline, scores_output

Floats = npt.NDArray[np.float32]
INPUTS = frozenset({"input_ids", "attention_mask", "token_type_ids"})
_DTYPES: Mapping[str, type[np.generic]] = {
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
}
#: The largest 32-bit float below 1, and the smallest normal one above 0.
_NEARLY_ONE, _NEARLY_ZERO = 1 - 2**-24, 2.0**-126


@dataclass(frozen=True, slots=True)
class Signature:
    """The inputs of a graph with their types, and the output that holds the scores."""

    inputs: Mapping[str, type[np.generic]]
    output: str
    gives_probability: bool

    def feeds(self, values: Mapping[str, npt.NDArray[np.int64]]) -> dict[str, npt.NDArray[Any]]:
        """Return the graph's inputs, each converted to its type."""
        return {name: values[name].astype(dtype, copy=False) for name, dtype in self.inputs.items()}

    def logits(self, scores: Any, pairs: int) -> Floats:
        """Return the logit of each pair, shape [pairs], from the graph's output `scores`.

        Raises ConfigurationError if that is not one number a pair: a graph need not state its number of labels.
        """
        found = np.asarray(scores, dtype=np.float32)
        if found.size != pairs:
            raise _not_one_logit(self.output, f"{list(found.shape)} for a batch of {pairs}")
        flat: Floats = found.reshape(pairs)
        return log_odds(flat) if self.gives_probability else flat


def signature_of(session: Any, path: Path) -> Signature:
    """Return the signature of a loaded graph. Raises ConfigurationError if the graph is not a cross-encoder."""
    inputs = {node.name: node.type for node in session.get_inputs()}
    if inputs.keys() - INPUTS or "input_ids" not in inputs:
        raise ConfigurationError(
            f"the model has inputs {sorted(inputs)}; a cross-encoder has input_ids, attention_mask, token_type_ids"
        )
    if odd := sorted(f"{name} ({kind})" for name, kind in inputs.items() if kind not in _DTYPES):
        raise ConfigurationError(f"the model takes {', '.join(odd)}; a cross-encoder takes whole numbers")
    outputs = {node.name: node.shape for node in session.get_outputs()}
    output = scores_output(list(outputs))
    shape = outputs[output]
    # A flat output has only the axis of the batch.
    labels = shape[-1] if len(shape or ()) > 1 else None
    if isinstance(labels, int) and labels != 1:
        raise _not_one_logit(output, str(shape))
    ending = read_outline(path).ending(output)
    if ending is not None and ending.op_type == "Softmax" and not ending.picked:
        raise ConfigurationError(
            f"the model's output {output!r} is a softmax over one label, which is 1 whatever the pair: export it "
            "without the softmax"
        )
    return Signature({name: _DTYPES[kind] for name, kind in inputs.items()}, output, ending is not None)


def _not_one_logit(output: str, shape: str) -> ConfigurationError:
    return ConfigurationError(f"the model's output {output!r} has shape {shape}: a reranker has one logit a pair")


def log_odds(probabilities: Floats) -> Floats:
    """Return the logits whose sigmoids are these probabilities; NaN stays NaN."""
    p = np.clip(probabilities.astype(np.float64), _NEARLY_ZERO, _NEARLY_ONE)
    odds: Floats = (np.log(p) - np.log1p(-p)).astype(np.float32)
    return odds
