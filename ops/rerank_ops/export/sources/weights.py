"""A model's weights as plain arrays: what every reader gives and every graph builder takes.

Names and shapes are those of the Hugging Face state dict, the family's own prefix included (bert., roberta., electra.,
deberta., model.): a linear layer's weight has shape [out, in]. Everything is float32, whatever the source held.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Tensor = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Weights:
    """A configuration, under the names of Hugging Face's config.json, and the tensors that belong to it."""

    config: dict[str, Any]
    tensors: dict[str, Tensor]

    @property
    def family(self) -> str:
        """The architecture, as config.json's model_type names it."""
        return str(self.config["model_type"])

    @property
    def parameters(self) -> int:
        """How many numbers the tensors hold together."""
        return sum(tensor.size for tensor in self.tensors.values())
