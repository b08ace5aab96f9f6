"""Weights of a model as plain arrays: the output of every reader and the input of every graph builder.

Names and shapes are those of the Hugging Face state dict, the family's own prefix included (bert., roberta., electra.,
deberta., model.): a linear layer's weight has shape [out, in]. All are float32; the source may store another type.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Tensor = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Weights:
    """A configuration, with the keys of Hugging Face's config.json, and its tensors by name."""

    config: dict[str, Any]
    tensors: dict[str, Tensor]

    @property
    def family(self) -> str:
        """The architecture, as config.json's model_type names it."""
        return str(self.config["model_type"])

    @property
    def parameters(self) -> int:
        """The number of parameters in all tensors."""
        return sum(tensor.size for tensor in self.tensors.values())
