"""What a plain ONNX graph takes and gives, brought to what a cross-encoder takes and gives: ids in, one logit a pair.

Exporters differ: ids of 32 bits, a second output, scores without a labels' axis, a sigmoid at the end. Where the graph
gives a probability its log odds are the logit, so that the activation is applied once. 32-bit floats end there at odds
of 2^24 to one, so pairs beyond a logit of 16.6 tie; so do those below -18, where ONNX Runtime's sigmoid is 0 on CPU.
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
#: The largest number below 1 that a 32-bit float has room for, and one that it still tells from 0.
_NEARLY_ONE, _NEARLY_ZERO = 1 - 2**-24, 2.0**-126


@dataclass(frozen=True, slots=True)
class Signature:
    """The inputs of a graph with their types, and the output that holds the scores."""

    inputs: Mapping[str, type[np.generic]]
    output: str
    gives_probability: bool

    def feeds(self, values: Mapping[str, npt.NDArray[np.int64]]) -> dict[str, npt.NDArray[Any]]:
        """Return the graph's inputs, each in its type."""
        return {name: values[name].astype(dtype, copy=False) for name, dtype in self.inputs.items()}

    def logits(self, scores: Any, pairs: int) -> Floats:
        """Return the logit of each pair, shape [pairs], of what the graph gave for them.

        Raises ConfigurationError where that is more than one a pair: a graph need not say how many labels it has.
        """
        found = np.asarray(scores, dtype=np.float32)
        if found.size != pairs:
            raise _not_one_logit(self.output, f"{list(found.shape)} for a batch of {pairs}")
        flat: Floats = found.reshape(pairs)
        return log_odds(flat) if self.gives_probability else flat


def signature_of(session: Any, path: Path) -> Signature:
    """Return the signature of a loaded graph; raises ConfigurationError where it is no cross-encoder's."""
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
    # A flat output has the batch's axis alone.
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
    """Return the logits whose sigmoids are these probabilities; what is not a number stays none."""
    p = np.clip(probabilities.astype(np.float64), _NEARLY_ZERO, _NEARLY_ONE)
    odds: Floats = (np.log(p) - np.log1p(-p)).astype(np.float32)
    return odds
