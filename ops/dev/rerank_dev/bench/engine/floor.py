"""The time that a request's linear layers need at the measured rate of bare matrix products: arithmetic only.

Counts the full model, 24 H^2 L operations a token where the feed-forward is four times as wide; attention, softmax,
normalisation, GELU and quantise steps are not in it. An engine that leaves work out may so exceed its true share.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

Shape = tuple[int, int]
#: Rates of one precision by shape ("384x1536") and by rows ("96"), in 1e9 operations a second.
Rates = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class ModelShape:
    """The sizes of an encoder that its linear layers follow from."""

    hidden: int
    feed_forward: int
    layers: int


def read_shape(directory: Path) -> ModelShape:
    """Read the sizes off a directory's config.json."""
    config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    return ModelShape(config["hidden_size"], config["intermediate_size"], config["num_hidden_layers"])


def linear_shapes(shape: ModelShape) -> list[Shape]:
    """Return (inner, outer) of one layer's products: attention's output, query-key-value, feed-forward up and down."""
    h, f = shape.hidden, shape.feed_forward
    return [(h, h), (h, 3 * h), (h, f), (f, h)]


def floor_s(tokens: int, shape: ModelShape, rates: Rates) -> float:
    """Return the seconds for `tokens` if every product ran at its best measured rate, with nothing between them."""
    layer = sum(2e-9 * inner * outer / max(rates[f"{inner}x{outer}"].values()) for inner, outer in linear_shapes(shape))
    return tokens * shape.layers * layer
