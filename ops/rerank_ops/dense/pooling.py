"""Pooling: one vector of the states of a text's tokens. Pure."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rerank_ops.dense.embedder_files import Pooling

Vector = npt.NDArray[np.float32]


def pooled(states: npt.NDArray[np.floating[Any]], pooling: Pooling) -> Vector:
    """Return the vector of one text, shape [width], of states of shape [tokens, width], none of which is padding."""
    vector = states[0] if pooling == "cls" else states.mean(axis=0, dtype=np.float32)
    return np.asarray(vector, dtype=np.float32)


def of_length_one(vector: Vector) -> Vector:
    """Return a vector in its direction with the length 1; one of zeros has no direction and stays."""
    length = float(np.linalg.norm(vector))
    return vector / np.float32(length) if length else vector
