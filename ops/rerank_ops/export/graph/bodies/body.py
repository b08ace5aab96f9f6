"""Body: the weights of an encoder for which a graph is built, independent of family and names.

BERT, RoBERTa, XLM-R, CamemBERT, ELECTRA and DistilBERT are one architecture: embeddings summed and normalised, then
layers of attention and feed-forward, each followed by a normalised residual; they differ in names, in where positions
start, and in the head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Function = Literal["gelu", "gelu_tanh", "relu", "tanh", "none"]


@dataclass(frozen=True, slots=True)
class Dense:
    """A linear layer: weight [in, out] and bias [out]. Its name is unique."""

    name: str
    weight: Floats
    bias: Floats


@dataclass(frozen=True, slots=True)
class Norm:
    """Scale and shift of a layer normalisation, both [hidden]."""

    name: str
    scale: Floats
    shift: Floats
    epsilon: float


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer. `qkv` is query, key and value side by side, [hidden, 3 * hidden]."""

    qkv: Dense
    attention_out: Dense
    attention_norm: Norm
    up: Dense
    down: Dense
    output_norm: Norm


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Embedding tables. `positions` starts at the first real token's row. `types` is None where a model has one type
    only; its row is then part of `positions`. `projection` widens embeddings narrower than the layers (ELECTRA)."""

    words: Floats
    positions: Floats
    types: Floats | None
    norm: Norm
    projection: Dense | None


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the head: a linear layer and the activation function behind it."""

    dense: Dense
    then: Function


@dataclass(frozen=True, slots=True)
class Body:
    """A cross-encoder. The head's steps take the first token's hidden state to one logit."""

    embeddings: Embeddings
    layers: tuple[Layer, ...]
    heads: int
    activation: Function
    head: tuple[Step, ...]

    @property
    def hidden(self) -> int:
        """Width of the hidden state."""
        return int(self.layers[0].qkv.weight.shape[0])

    @property
    def head_width(self) -> int:
        """Width of one attention head."""
        return self.hidden // self.heads

    @property
    def positions(self) -> int:
        """Tokens of the longest possible pair."""
        return len(self.embeddings.positions)

    @property
    def linear_flops_a_token(self) -> int:
        """Multiplications and additions of all linear layers for one token."""
        sizes = (dense.weight.size for layer in self.layers for dense in _linears(layer))
        return 2 * int(np.sum(list(sizes)))


def _linears(layer: Layer) -> tuple[Dense, ...]:
    return layer.qkv, layer.attention_out, layer.up, layer.down
