"""Body of ModernBERT (gte-reranker-modernbert, ettin): reads the weights by their Hugging Face names.

Normalisation comes before each part, positions are rotations, two layers of three attend within a window only, and the
feed-forward part is gated. The head reads the first token or the mean of all tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from rerank_ops.export.graph.bodies.body import Dense, Floats, Function, Norm, Step
from rerank_ops.export.graph.bodies.reading import WeightReader, check_one_label

FAMILY = "modernbert"
_ACTIVATIONS: dict[str, Function] = {"gelu": "gelu", "gelu_pytorch_tanh": "gelu_tanh", "relu": "relu"}


@dataclass(frozen=True, slots=True)
class Rotation:
    """Cosine and sine of each position's angles, both [positions, head width / 2]. Equal `name`s mean equal tables."""

    name: str
    cosine: Floats
    sine: Floats


@dataclass(frozen=True, slots=True)
class ModernLayer:
    """One layer. `before` is None in the first, whose input is normalised already; `window` None: the whole pair.

    `up` is the value and the gate side by side, [hidden, 2 * inner].
    """

    before: Norm | None
    qkv: Dense
    attention_out: Dense
    middle: Norm
    up: Dense
    down: Dense
    window: int | None
    rotation: Rotation


@dataclass(frozen=True, slots=True)
class ModernBody:
    """A cross-encoder of this family. Its head: a linear layer, its activation, a normalisation, and `classifier`.

    `head_norm` is None in a head that was fitted here.
    """

    words: Floats
    norm: Norm
    layers: tuple[ModernLayer, ...]
    last_norm: Norm
    heads: int
    activation: Function
    pooling: Literal["cls", "mean"]
    head: Step
    head_norm: Norm | None
    classifier: Dense
    positions: int

    @property
    def hidden(self) -> int:
        """Width of the hidden state."""
        return int(self.layers[0].qkv.weight.shape[0])


def refuses_modern(config: Mapping[str, Any]) -> str | None:
    """Return why no graph is built for a model of this family, or None where one is."""
    for key in ("hidden_activation", "classifier_activation"):
        if config.get(key, "gelu") not in _ACTIVATIONS:
            return f"its {key} is {config[key]!r}"
    if config.get("classifier_pooling", "cls") not in ("cls", "mean"):
        return f"its pooling is {config['classifier_pooling']!r}"
    return None


def read_modern(config: Mapping[str, Any], tensors: Mapping[str, Floats]) -> ModernBody:
    """Return the body of a model. Raises ConfigurationError for a missing weight or key, or more than one label."""
    epsilon = float(config.get("norm_eps", 1e-5))
    return _Reader(WeightReader(config, tensors, epsilon, optional_biases=True)).body()


@dataclass(frozen=True, slots=True)
class _Reader:
    weights: WeightReader

    def body(self) -> ModernBody:
        weights, config = self.weights, self.weights.config
        classifier = weights.dense("classifier")
        check_one_label(classifier)
        local, everywhere = self._rotation(local=True), self._rotation(local=False)
        every = int(config.get("global_attn_every_n_layers", 3))
        layers = range(int(weights.required("num_hidden_layers")))
        return ModernBody(
            words=weights.tensor("model.embeddings.tok_embeddings.weight"),
            norm=weights.norm("model.embeddings.norm"),
            layers=tuple(self._layer(i, everywhere if i % every == 0 else local, i % every != 0) for i in layers),
            last_norm=weights.norm("model.final_norm"),
            heads=int(weights.required("num_attention_heads")),
            activation=_ACTIVATIONS[config.get("hidden_activation", "gelu")],
            pooling=config.get("classifier_pooling", "cls"),
            head=Step(weights.dense("head.dense"), _ACTIVATIONS[config.get("classifier_activation", "gelu")]),
            head_norm=weights.norm("head.norm"),
            classifier=classifier,
            positions=int(weights.required("max_position_embeddings")),
        )

    def _layer(self, index: int, rotation: Rotation, local: bool) -> ModernLayer:
        weights, stem = self.weights, f"model.layers.{index}."
        return ModernLayer(
            before=weights.norm(f"{stem}attn_norm") if f"{stem}attn_norm.weight" in weights.tensors else None,
            qkv=weights.dense(f"{stem}attn.Wqkv"),
            attention_out=weights.dense(f"{stem}attn.Wo"),
            middle=weights.norm(f"{stem}mlp_norm"),
            up=weights.dense(f"{stem}mlp.Wi"),
            down=weights.dense(f"{stem}mlp.Wo"),
            window=int(weights.config.get("local_attention", 128)) // 2 if local else None,
            rotation=rotation,
        )

    def _rotation(self, *, local: bool) -> Rotation:
        """Return RoFormer's tables (Su et al. 2021): pair i of a head turns by position * theta^(-2i / head width)."""
        weights, theta = self.weights, self._theta(local=local)
        width = int(weights.required("hidden_size")) // int(weights.required("num_attention_heads"))
        speed = theta ** (-np.arange(0, width, 2, dtype=np.float64) / width)
        angles = np.arange(int(weights.required("max_position_embeddings")))[:, None] * speed
        name = f"rotation/{theta:g}"
        return Rotation(name, np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32))

    def _theta(self, *, local: bool) -> float:
        config = self.weights.config
        newer = (config.get("rope_parameters") or {}).get("sliding_attention" if local else "full_attention") or {}
        if "rope_theta" in newer:
            return float(newer["rope_theta"])
        everywhere = float(config.get("global_rope_theta", 160_000.0))
        own = config.get("local_rope_theta", 10_000.0)
        return everywhere if not local or own is None else float(own)
