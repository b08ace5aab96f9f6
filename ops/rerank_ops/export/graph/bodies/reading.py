"""Weight reader: the parts of a body that every family reads alike from a checkpoint, by their Hugging Face names.

No value is guessed: an error names the missing weight or key. The families' own readers know the names of their parts
and the keys of their config.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rerank_ops.export.graph.bodies.body import Dense, Floats, Norm
from rerank_shared.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class WeightReader:
    """Reads a `config` and `tensors` (weights [out, in]). `epsilon` is that of every normalisation.

    With `optional_biases` a missing bias is zeros.
    """

    config: Mapping[str, Any]
    tensors: Mapping[str, Floats]
    epsilon: float
    optional_biases: bool = False

    def dense(self, name: str) -> Dense:
        """Return a linear layer; raises ConfigurationError as `tensor` does."""
        weight = np.ascontiguousarray(self.tensor(f"{name}.weight").T)
        return Dense(name, weight, self._bias(name, weight.shape[1]))

    def side_by_side(self, name: str, parts: Sequence[str]) -> Dense:
        """Return linear layers of the same input as one layer `name`, with their outputs in the order of `parts`."""
        found = [self.dense(part) for part in parts]
        weight = np.concatenate([dense.weight for dense in found], axis=1)
        return Dense(name, weight, np.concatenate([dense.bias for dense in found]))

    def norm(self, name: str) -> Norm:
        """Return a layer normalisation; raises ConfigurationError as `tensor` does."""
        scale = self.tensor(f"{name}.weight")
        return Norm(name, scale, self._bias(name, len(scale)), self.epsilon)

    def tensor(self, name: str) -> Floats:
        """Return a weight in 32-bit floats; raises ConfigurationError where it is missing."""
        if name not in self.tensors:
            raise ConfigurationError(f"the weights lack {name}: they are not a sequence classifier of this family")
        return np.asarray(self.tensors[name], dtype=np.float32)

    def required(self, *names: str) -> Any:
        """Return the config's value of the first of `names` that exists; raises ConfigurationError where none does."""
        for name in names:
            if name in self.config:
                return self.config[name]
        raise ConfigurationError(f"config.json lacks {names[0]}")

    def _bias(self, name: str, width: int) -> Floats:
        if self.optional_biases and f"{name}.bias" not in self.tensors:
            return np.zeros(width, dtype=np.float32)
        return self.tensor(f"{name}.bias")


def check_one_label(classifier: Dense) -> None:
    """Raise ConfigurationError where the last layer of a model's head has more than one output."""
    if (labels := len(classifier.bias)) != 1:
        raise ConfigurationError(f"the model has {labels} labels: a reranker has one logit a pair")
