"""Where a student begins: the weights, tokenizer and configs of a published ranking model. Needs no torch by itself."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rerank_ops.export.graph.bodies.naming import NAMES, refuses
from rerank_ops.export.sources.checkpoint import from_directory
from rerank_ops.export.sources.modular import module_folders
from rerank_ops.export.sources.onnx_weights import from_onnx
from rerank_ops.export.sources.source import Source, resolve
from rerank_ops.export.sources.tokenizer import write_tokenizer
from rerank_ops.export.sources.weights import Tensor
from rerank_shared.errors import ConfigurationError
from rerank_shared.models.config_files import SENTENCE_TRANSFORMERS_FILE

#: Families whose head has the shape that is fitted: a layer with tanh, then a classifier.
FAMILIES = tuple(family for family, names in NAMES.items() if [then for _, then in names.head] == ["tanh", "none"])
_TOKENIZER_CONFIGS = ("tokenizer_config.json", "special_tokens_map.json")
_ACTIVATION_CLASSES = {
    "sigmoid": "torch.nn.modules.activation.Sigmoid",
    "identity": "torch.nn.modules.linear.Identity",
}


@dataclass(frozen=True, slots=True)
class Origin:
    """A model of which a student takes the first layers. Tensors have the names of Hugging Face's state dict."""

    source: Source
    config: dict[str, Any]
    tensors: dict[str, Tensor]

    @property
    def layers(self) -> int:
        """The layers that it has."""
        return int(self.config["num_hidden_layers"])

    @property
    def head(self) -> tuple[str, str]:
        """The names of the head's two linear layers."""
        (dense, _), (out, _) = NAMES[str(self.config["model_type"])].head
        return dense, out

    def write_beside(self, directory: Path, layers: int) -> None:
        """Write what a directory of weights needs beside them: configs and tokenizer. Raises OSError."""
        stored = self.config.get("sentence_transformers")
        others = stored if isinstance(stored, dict) else {}
        activation = {"activation_fn": _ACTIVATION_CLASSES[self.source.activation]}
        config = {
            **self.config,
            "num_hidden_layers": layers,
            "architectures": self.config.get("architectures") or [_architecture(str(self.config["model_type"]))],
            "id2label": {"0": "LABEL_0"},
            "label2id": {"LABEL_0": 0},
            "sentence_transformers": {**others, **activation},
        }
        _write(directory / "config.json", config)
        if self.source.prompt:
            prompts = {"prompts": {"query": self.source.prompt}, "default_prompt_name": "query"}
            _write(directory / SENTENCE_TRANSFORMERS_FILE, prompts)
        write_tokenizer(self.source, directory)
        for name in _TOKENIZER_CONFIGS:
            if (self.source.directory / name).is_file():
                shutil.copyfile(self.source.directory / name, directory / name)
        if not (directory / _TOKENIZER_CONFIGS[0]).is_file():
            length = {} if self.source.max_length is None else {"model_max_length": self.source.max_length}
            _write(directory / _TOKENIZER_CONFIGS[0], {"tokenizer_class": "PreTrainedTokenizerFast", **length})


def open_origin(model: str, layers: int) -> Origin:
    """Return the model that `model` names, as `rerank-fleet export` takes it, of which `layers` are wanted.

    Raises ConfigurationError where it has a family or head that no student is made of, or too few layers;
    ModelUnavailable and ModelDamaged as an export does.
    """
    source = resolve(model)
    if source.onnx is None:
        if module_folders(source.directory):
            raise _unsupported(model, "its head is a chain of modules")
        weights = from_directory(source.directory)
    else:
        weights = from_onnx(source.onnx, source.config)
    family = str(weights.config.get("model_type"))
    if family not in FAMILIES:
        raise _unsupported(model, f"its model_type is {family!r}")
    if reason := refuses(weights.config):
        raise _unsupported(model, reason)
    origin = Origin(source, weights.config, weights.tensors)
    # All of them may be wanted: a student of another domain learns on.
    if layers > origin.layers:
        raise ConfigurationError(f"{model} has {origin.layers} layers: --layers {origin.layers} at most")
    return origin


def _unsupported(model: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"no student can be made of {model}: {why}; it takes models of {', '.join(FAMILIES)}. Any teacher can be "
        "served: name a model of these with --student"
    )


def _architecture(family: str) -> str:
    names = {"bert": "Bert", "camembert": "Camembert", "roberta": "Roberta", "xlm-roberta": "XLMRoberta"}
    return f"{names[family]}ForSequenceClassification"


def _write(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
