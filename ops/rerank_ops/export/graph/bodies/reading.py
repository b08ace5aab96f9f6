"""The parts of a body out of a checkpoint, by their Hugging Face names: what reading is the same in every family.

Nothing is guessed: a weight or key that is not there is told by its name. What families call their parts, and which
keys of their config mean what, their own readers know.
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

    With `optional_biases` a bias that is not there is zeros.
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
        """Return linear layers that take in the same as one called `name`, their outputs in the order of `parts`."""
        found = [self.dense(part) for part in parts]
        weight = np.concatenate([dense.weight for dense in found], axis=1)
        return Dense(name, weight, np.concatenate([dense.bias for dense in found]))

    def norm(self, name: str) -> Norm:
        """Return a layer normalisation; raises ConfigurationError as `tensor` does."""
        scale = self.tensor(f"{name}.weight")
        return Norm(name, scale, self._bias(name, len(scale)), self.epsilon)

    def tensor(self, name: str) -> Floats:
        """Return a weight in 32-bit floats; raises ConfigurationError where there is none of that name."""
        if name not in self.tensors:
            raise ConfigurationError(f"the weights lack {name}: they are not a sequence classifier of this family")
        return np.asarray(self.tensors[name], dtype=np.float32)

    def required(self, *names: str) -> Any:
        """Return the config's value of the first of `names` that it has; raises ConfigurationError for none."""
        for name in names:
            if name in self.config:
                return self.config[name]
        raise ConfigurationError(f"config.json lacks {names[0]}")

    def _bias(self, name: str, width: int) -> Floats:
        if self.optional_biases and f"{name}.bias" not in self.tensors:
            return np.zeros(width, dtype=np.float32)
        return self.tensor(f"{name}.bias")


def check_one_label(classifier: Dense) -> None:
    """Raise ConfigurationError where the last layer of a model's head has more outputs than a reranker's."""
    if (labels := len(classifier.bias)) != 1:
        raise ConfigurationError(f"the model has {labels} labels: a reranker has one logit a pair")
