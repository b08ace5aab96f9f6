"""The two operators in NumPy's float64, written from their description, and made-up weights for them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
#: Arrays of float64; NumPy gives some of their operators no types.
Doubles = Any
Steps = Callable[[NDArray[np.int8]], int]

#: Which weights each letter of an operator's suffix smooths the input of, in the order of its inputs.
PRODUCTS = {"q": "qkv", "o": "out", "u": "up", "d": "down"}
SUFFIXES = ("", "q", "o", "qo", "u", "qu", "ou", "qou", "d", "qd", "od", "qod", "ud", "qud", "oud", "qoud")


@dataclass(frozen=True)
class LayerWeights:
    """Weights of one EncoderLayer: int8 matrices with scales and biases by name, vectors of both norms, smoothing."""

    hidden: int
    heads: int
    inner: int
    activation: str
    weight: dict[str, NDArray[np.int8]]
    scale: dict[str, Floats]
    bias: dict[str, Floats]
    norms: dict[str, tuple[Floats, Floats]]
    smoothing: dict[str, Floats] = field(default_factory=dict)
    epsilon: float = 1e-12


def make_layer(
    hidden: int, heads: int, inner: int, activation: str = "gelu", suffix: str = "", seed: int = 0
) -> LayerWeights:
    """Return made-up weights whose products have about the size of their inputs."""
    rng = np.random.default_rng(seed)
    shapes = {"qkv": (hidden, 3 * hidden), "out": (hidden, hidden), "up": (hidden, inner), "down": (inner, hidden)}

    def vector(size: int, middle: float, spread: float) -> Floats:
        return (middle + spread * rng.standard_normal(size)).astype(np.float32)

    return LayerWeights(
        hidden,
        heads,
        inner,
        activation,
        {name: rng.integers(-127, 128, shape, dtype=np.int8) for name, shape in shapes.items()},
        {name: vector(n, 1, 0.1) / np.float32(73 * math.sqrt(k)) for name, (k, n) in shapes.items()},
        {name: vector(n, 0, 0.1) for name, (_, n) in shapes.items()},
        {name: (vector(hidden, 1, 0.1), vector(hidden, 0, 0.1)) for name in ("attention", "output")},
        {PRODUCTS[letter]: np.abs(vector(shapes[PRODUCTS[letter]][0], 1, 0.3)) + np.float32(0.1) for letter in suffix},
    )


def all_steps(weight: NDArray[np.int8]) -> int:
    """Return how many steps a quantised row has from its least value to its greatest, beside any weight: a byte's."""
    return 255


def steps_in_16_bits(weight: NDArray[np.int8]) -> int:
    """Return how many steps leave no sum of four products beyond 16 bits: of rows 8i, 8i + 1, 8i + 4 and 8i + 5, ..."""
    signed = weight.astype(np.int64).reshape(-1, 2, 2, 2, weight.shape[1])  # eights, fours, pairs, each, columns
    largest = max(np.maximum(sign * signed, 0).sum(axis=(1, 3)).max() for sign in (1, -1))
    return min(255, int(32767 // largest) - 1)


def quantised(rows: Doubles, steps: int) -> Doubles:
    """Return rows as their bytes stand for them: asymmetric, a scale and a zero point by row."""
    low = np.minimum(rows.min(axis=-1, keepdims=True), 0)
    high = np.maximum(rows.max(axis=-1, keepdims=True), 0)
    scale = np.maximum((high - low) / steps, 1e-30)
    zero = np.rint(-low / scale)
    return (np.clip(np.rint(rows / scale + zero), 0, 255) - zero) * scale


def product(layer: LayerWeights, name: str, rows: Doubles, steps: Steps) -> Doubles:
    """Return the product of quantised rows with a weight."""
    rows = rows * layer.smoothing[name] if name in layer.smoothing else rows
    weight = layer.weight[name].astype(np.float64) * layer.scale[name]
    return quantised(rows, steps(layer.weight[name])) @ weight + layer.bias[name]


def normalised(layer: LayerWeights, name: str, rows: Doubles) -> Doubles:
    """Return LayerNormalization of rows."""
    weight, bias = layer.norms[name]
    centred = rows - rows.mean(axis=-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + layer.epsilon) * weight + bias


def activated(name: str, x: Doubles) -> Doubles:
    """Return an activation of the feed-forward block."""
    if name == "relu":
        return np.maximum(x, 0)
    if name == "gelu":
        return x / 2 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))
    return x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def softmax(scores: Doubles) -> Doubles:
    """Return softmax over the last axis."""
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def encoder_layer(layer: LayerWeights, x: Floats, steps: Steps) -> Doubles:
    """Return the layer's output for the tokens [T, H] of one pair; `steps`: of rows beside a weight."""
    rows = x.astype(np.float64)
    width = layer.hidden // layer.heads
    heads = product(layer, "qkv", rows, steps).reshape(len(x), 3, layer.heads, width).transpose(1, 2, 0, 3)
    query, key, value = heads
    attention = softmax(query @ key.transpose(0, 2, 1) / math.sqrt(width)) @ value
    context = attention.transpose(1, 0, 2).reshape(len(x), layer.hidden)
    attended = normalised(layer, "attention", product(layer, "out", context, steps) + rows)
    wide = activated(layer.activation, product(layer, "up", attended, steps))
    return normalised(layer, "output", product(layer, "down", wide, steps) + attended)


@dataclass(frozen=True)
class FirstRowsWeights:
    """Weights of one FirstRows."""

    query: Floats
    bias: Floats
    key: Floats


def make_first_rows(hidden: int, heads: int, seed: int = 0) -> FirstRowsWeights:
    """Return made-up weights under which attention is neither even nor all on one token."""
    rng = np.random.default_rng(seed)
    size = 1 / math.sqrt(hidden)
    return FirstRowsWeights(
        (rng.standard_normal((hidden, hidden)) * size).astype(np.float32),
        (rng.standard_normal(hidden) * 0.1).astype(np.float32),
        (rng.standard_normal((heads, hidden // heads, hidden)) * size / math.sqrt(hidden // heads)).astype(np.float32),
    )


def first_rows(weights: FirstRowsWeights, x: Floats) -> Doubles:
    """Return the output row of one pair's tokens [T, H]: the mean of each head, then the first token."""
    rows = x.astype(np.float64)
    heads, width, _ = weights.key.shape
    query = (rows[0] @ weights.query + weights.bias).reshape(heads, 1, width)
    shares = softmax((query @ weights.key)[:, 0] @ rows.T)
    return np.concatenate([*(shares @ rows), rows[0]])
