"""Names of BERT's families: reads a Body by each family's Hugging Face state-dict names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rerank_ops.export.graph.bodies.body import Body, Embeddings, Floats, Function, Layer, Step
from rerank_ops.export.graph.bodies.reading import WeightReader, check_one_label
from rerank_shared.errors import ConfigurationError
from rerank_shared.models.config_files import first_position

_ACTIVATIONS: dict[str, Function] = {
    "gelu": "gelu", "relu": "relu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Names:
    """The state-dict names of one family's parts."""

    prefix: str
    head: tuple[tuple[str, Function], ...]
    layer: str = "encoder.layer.{}."
    query: str = "attention.self.query"
    key: str = "attention.self.key"
    value: str = "attention.self.value"
    attention_out: str = "attention.output.dense"
    attention_norm: str = "attention.output.LayerNorm"
    up: str = "intermediate.dense"
    down: str = "output.dense"
    output_norm: str = "output.LayerNorm"


_BERT = Names("bert.", (("bert.pooler.dense", "tanh"), ("classifier", "none")))
_ROBERTA = Names("roberta.", (("classifier.dense", "tanh"), ("classifier.out_proj", "none")))
_ELECTRA = Names("electra.", (("classifier.dense", "gelu"), ("classifier.out_proj", "none")))
_DISTILBERT = Names(
    "distilbert.",
    (("pre_classifier", "relu"), ("classifier", "none")),
    layer="transformer.layer.{}.",
    query="attention.q_lin",
    key="attention.k_lin",
    value="attention.v_lin",
    attention_out="attention.out_lin",
    attention_norm="sa_layer_norm",
    up="ffn.lin1",
    down="ffn.lin2",
    output_norm="output_layer_norm",
)

#: Families of the architecture in encoder.py, by model_type.
NAMES: Mapping[str, Names] = {
    "bert": _BERT,
    "camembert": _ROBERTA,
    "distilbert": _DISTILBERT,
    "electra": _ELECTRA,
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
}


def read_body(config: Mapping[str, Any], tensors: Mapping[str, Floats]) -> Body:
    """Return the body of a model with its Hugging Face `config` and `tensors` (weights [out, in]).

    Raises ConfigurationError where the family is unknown, has a variant that is not built here (relative positions,
    more than one label), or lacks a weight.
    """
    family = str(config.get("model_type"))
    if family not in NAMES:
        raise ConfigurationError(f"no graph is built for model_type {family!r}; known are {', '.join(NAMES)}")
    if reason := refuses(config):
        raise ConfigurationError(f"no graph can be built for this model: {reason}")
    # DistilBERT has no such key; its code says 1e-12.
    epsilon = float(config.get("layer_norm_eps", 1e-12))
    return _Reader(NAMES[family], WeightReader(config, tensors, epsilon)).body()


def refuses(config: Mapping[str, Any]) -> str | None:
    """Return why no graph is built for a model, or None where one is."""
    family = str(config.get("model_type"))
    if family not in NAMES:
        return f"model_type {family!r} has no graph of ours"
    if config.get("position_embedding_type", "absolute") != "absolute":
        return f"its positions are {config['position_embedding_type']}, not absolute"
    if _activation_name(config) not in _ACTIVATIONS:
        return f"its activation is {_activation_name(config)!r}"
    return None


def _activation_name(config: Mapping[str, Any]) -> str:
    return str(config.get("hidden_act") or config.get("activation") or "gelu")


@dataclass(frozen=True, slots=True)
class _Reader:
    names: Names
    weights: WeightReader

    def body(self) -> Body:
        weights = self.weights
        head = tuple(Step(weights.dense(name), then) for name, then in self.names.head)
        check_one_label(head[-1].dense)
        layers = int(weights.required("num_hidden_layers", "n_layers"))
        return Body(
            embeddings=self._embeddings(),
            layers=tuple(self._layer(i) for i in range(layers)),
            heads=int(weights.required("num_attention_heads", "n_heads")),
            activation=_ACTIVATIONS[_activation_name(weights.config)],
            head=head,
        )

    def _embeddings(self) -> Embeddings:
        weights, stem = self.weights, f"{self.names.prefix}embeddings."
        positions = weights.tensor(f"{stem}position_embeddings.weight")[first_position(weights.config) :]
        types: Floats | None = weights.tensors.get(f"{stem}token_type_embeddings.weight")
        if types is not None and len(types) == 1:
            positions, types = positions + types[0], None
        projection = f"{self.names.prefix}embeddings_project"
        return Embeddings(
            words=weights.tensor(f"{stem}word_embeddings.weight"),
            positions=positions,
            types=types,
            norm=weights.norm(f"{stem}LayerNorm"),
            projection=weights.dense(projection) if f"{projection}.weight" in weights.tensors else None,
        )

    def _layer(self, index: int) -> Layer:
        n, weights = self.names, self.weights
        stem = n.prefix + n.layer.format(index)
        return Layer(
            qkv=weights.side_by_side(f"{stem}attention.qkv", [stem + name for name in (n.query, n.key, n.value)]),
            attention_out=weights.dense(stem + n.attention_out),
            attention_norm=weights.norm(stem + n.attention_norm),
            up=weights.dense(stem + n.up),
            down=weights.dense(stem + n.down),
            output_norm=weights.norm(stem + n.output_norm),
        )
