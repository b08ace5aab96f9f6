"""Body of DeBERTa v2 and v3 (mxbai-rerank): reads the weights by their Hugging Face names.

A layer differs from BERT's in its attention: a score adds to the product of query and key the products of each with
the embedding of their distance. The table of distances is the same for every input, so it is projected here once and
not in each run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rerank_ops.export.graph.bodies.body import Floats, Function, Layer, Norm, Step
from rerank_ops.export.graph.bodies.reading import WeightReader, check_one_label
from rerank_shared.errors import ConfigurationError

FAMILY = "deberta-v2"
_ACTIVATIONS: dict[str, Function] = {"gelu": "gelu", "gelu_new": "gelu_tanh", "relu": "relu", "tanh": "tanh"}
_BOTH = {"c2p", "p2c"}


@dataclass(frozen=True, slots=True)
class Distances:
    """One layer's projected tables of distances, both [heads, 2 * span, head width] and scaled as scores are."""

    name: str
    keys: Floats
    queries: Floats


@dataclass(frozen=True, slots=True)
class DebertaBody:
    """A cross-encoder of this family. `buckets[d + positions - 1]` is the row of a Distances for distance d."""

    words: Floats
    norm: Norm
    layers: tuple[Layer, ...]
    distances: tuple[Distances, ...]
    buckets: npt.NDArray[np.int64]
    heads: int
    activation: Function
    head: tuple[Step, ...]
    positions: int

    @property
    def hidden(self) -> int:
        """Width of the hidden state."""
        return int(self.layers[0].qkv.weight.shape[0])

    @property
    def scale(self) -> float:
        """Factor of scores, which are sums of three products."""
        return 1 / math.sqrt(3 * self.hidden / self.heads)


def refuses_deberta(config: Mapping[str, Any]) -> str | None:
    """Return why no graph is built for a model of this family, or None where one is."""
    kinds = config.get("pos_att_type") or []
    kinds = kinds.split("|") if isinstance(kinds, str) else kinds
    wanted = {
        "its attention has no distances": bool(config.get("relative_attention")) and set(kinds) == _BOTH,
        "its distances have a projection of their own": bool(config.get("share_att_key")),
        "it has absolute positions": not config.get("position_biased_input", True),
        "it has types of tokens": not config.get("type_vocab_size"),
        "it has a convolution": not config.get("conv_kernel_size"),
        "its embeddings are narrower than its layers": config.get("embedding_size", config.get("hidden_size"))
        == config.get("hidden_size"),
        f"its activation is {config.get('hidden_act')!r}": config.get("hidden_act", "gelu") in _ACTIVATIONS,
        f"its pooler's activation is {config.get('pooler_hidden_act')!r}": config.get("pooler_hidden_act", "gelu")
        in _ACTIVATIONS,
    }
    return next((reason for reason, holds in wanted.items() if not holds), None)


def read_deberta(config: Mapping[str, Any], tensors: Mapping[str, Floats]) -> DebertaBody:
    """Return the body of a model. Raises ConfigurationError for a missing weight or key, or more than one label."""
    if reason := refuses_deberta(config):
        raise ConfigurationError(f"no graph can be built for this model: {reason}")
    epsilon = float(config.get("layer_norm_eps", 1e-7))
    return _Reader(WeightReader(config, tensors, epsilon)).body()


def log_bucket(distances: npt.NDArray[np.int64], buckets: int, positions: int) -> npt.NDArray[np.int64]:
    """Return the bucket of each distance: the distance up to half of `buckets`, its logarithm beyond (He et al. 2021).

    Computed in 32-bit floats as in training, because rounding decides between two buckets.
    """
    if buckets <= 0:
        return distances
    middle = buckets // 2
    size = np.where(np.abs(distances) < middle, middle - 1, np.abs(distances)).astype(np.float32)
    reach = np.log(np.float32((positions - 1) / middle))
    logarithmic = np.ceil(np.log(size / np.float32(middle)) / reach * np.float32(middle - 1)) + middle
    bucket = np.where(size <= middle, distances, logarithmic * np.sign(distances))
    return bucket.astype(np.int64)


@dataclass(frozen=True, slots=True)
class _Reader:
    weights: WeightReader

    def body(self) -> DebertaBody:
        weights, config = self.weights, self.weights.config
        classifier = weights.dense("classifier")
        check_one_label(classifier)
        layers = range(int(weights.required("num_hidden_layers")))
        positions, span = int(weights.required("max_position_embeddings")), self._span
        distances = log_bucket(np.arange(1 - positions, positions), self._buckets, self._reach)
        pooler = weights.dense("pooler.dense")
        return DebertaBody(
            words=weights.tensor("deberta.embeddings.word_embeddings.weight"),
            norm=weights.norm("deberta.embeddings.LayerNorm"),
            layers=tuple(self._layer(i) for i in layers),
            distances=tuple(self._distances(i) for i in layers),
            buckets=np.clip(distances + span, 0, 2 * span - 1),
            heads=int(weights.required("num_attention_heads")),
            activation=_ACTIVATIONS[config.get("hidden_act", "gelu")],
            head=(Step(pooler, _ACTIVATIONS[config.get("pooler_hidden_act", "gelu")]), Step(classifier, "none")),
            positions=positions,
        )

    @property
    def _buckets(self) -> int:
        return int(self.weights.config.get("position_buckets", -1))

    @property
    def _reach(self) -> int:
        found = int(self.weights.config.get("max_relative_positions", -1))
        return found if found > 0 else int(self.weights.required("max_position_embeddings"))

    @property
    def _span(self) -> int:
        return self._buckets if self._buckets > 0 else self._reach

    def _layer(self, index: int) -> Layer:
        weights, stem = self.weights, f"deberta.encoder.layer.{index}."
        parts = [f"{stem}attention.self.{name}_proj" for name in ("query", "key", "value")]
        return Layer(
            qkv=weights.side_by_side(f"{stem}attention.qkv", parts),
            attention_out=weights.dense(f"{stem}attention.output.dense"),
            attention_norm=weights.norm(f"{stem}attention.output.LayerNorm"),
            up=weights.dense(f"{stem}intermediate.dense"),
            down=weights.dense(f"{stem}output.dense"),
            output_norm=weights.norm(f"{stem}output.LayerNorm"),
        )

    def _distances(self, index: int) -> Distances:
        weights, stem = self.weights, f"deberta.encoder.layer.{index}.attention.self"
        table = weights.tensor("deberta.encoder.rel_embeddings.weight")[: 2 * self._span].astype(np.float64)
        if "layer_norm" in str(weights.config.get("norm_rel_ebd", "none")).lower():
            norm = weights.norm("deberta.encoder.LayerNorm")
            centred = table - table.mean(axis=1, keepdims=True)
            table = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + norm.epsilon) * norm.scale + norm.shift
        heads = int(weights.required("num_attention_heads"))
        scale = 1 / math.sqrt(3 * table.shape[1] / heads)

        def projected(name: str) -> Floats:
            dense = weights.dense(f"{stem}.{name}_proj")
            rows = (table @ dense.weight + dense.bias) * scale
            return np.ascontiguousarray(rows.reshape(len(rows), heads, -1).transpose(1, 0, 2), dtype=np.float32)

        return Distances(f"{stem}.distances", keys=projected("key"), queries=projected("query"))
