"""Modular checkpoint: merges a cross-encoder stored as a chain of modules into one transformers classifier.

sentence-transformers stores some models so (the ettin rerankers): an encoder without a head at the root, and the head
in folders that modules.json lists. Only the chain that equals transformers' own classifier is known; others are
refused.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rerank_ops.export.missing import export_extra
from rerank_ops.export.sources.checkpoint import CONFIG_FILE, SAFETENSORS, read_json, read_tensors
from rerank_shared.errors import ConfigurationError, ModelDamaged

MODULES_FILE = "modules.json"
_KNOWN = ("modernbert", ("Transformer", "Pooling", "Dense", "LayerNorm", "Dense"))


def module_folders(directory: Path) -> list[str]:
    """Return the folders of the modules behind the encoder; empty for a model stored in one piece."""
    return [module["path"] for module in _modules(directory)[1:]]


def check_chain(directory: Path) -> None:
    """Raise ConfigurationError unless the modules of a directory are a classifier known here; no weights are read."""
    config = read_json(directory / CONFIG_FILE)
    kinds = tuple(str(module["type"]).rpartition(".")[2] for module in _modules(directory))
    if "LogitScore" in kinds:
        raise ConfigurationError(
            f"{directory} scores a pair by the logit of a token that it would generate after a prompt (LogitScore): "
            "such rerankers are not served here; docs/models.md says which are"
        )
    if (config.get("model_type"), kinds) != _KNOWN:
        raise _unknown(directory, f"{config.get('model_type')}: {', '.join(kinds)}")
    _pooling_mode(directory)


def merge_modules(directory: Path, merged: Path) -> Path:
    """Write a model of modules into `merged` as one sequence classifier, without a tokenizer, and return `merged`.

    Raises ConfigurationError for a chain that is no classifier known here.
    """
    try:
        from safetensors.numpy import save_file
    except ImportError:
        raise export_extra("safetensors") from None
    check_chain(directory)
    config, mode = read_json(directory / CONFIG_FILE), _pooling_mode(directory)
    _, dense, norm, last = (directory / folder for folder in module_folders(directory))
    normed, head, out = read_tensors(norm), read_tensors(dense), read_tensors(last)
    tensors = {f"model.{name}": tensor for name, tensor in read_tensors(directory).items()}
    tensors["head.dense.weight"] = head["linear.weight"]
    tensors["head.norm.weight"] = normed["norm.weight"]
    tensors["classifier.weight"] = out["linear.weight"]
    # transformers' normalisation has no shift here; the next layer is linear, so its bias can hold the shift.
    tensors["classifier.bias"] = out["linear.bias"] + out["linear.weight"] @ normed["norm.bias"]
    merged.mkdir()
    save_file(tensors, merged / SAFETENSORS, {"format": "pt"})
    (merged / CONFIG_FILE).write_text(json.dumps({**config, **_classifier(mode)}), encoding="utf-8")
    return merged


def _modules(directory: Path) -> list[dict[str, Any]]:
    path = directory / MODULES_FILE
    if not path.is_file():
        return []
    try:
        modules = json.loads(path.read_text(encoding="utf-8"))
        return [{"path": str(module["path"]), "type": str(module["type"])} for module in modules]
    except (ValueError, TypeError, KeyError) as error:
        raise ModelDamaged(f"{path} is no list of modules: {error}") from None


def _pooling_mode(directory: Path) -> str:
    """Return the pooling mode, cls or mean. Raises ConfigurationError for an unknown head."""
    folders = [directory / folder for folder in module_folders(directory)]
    pooling, dense, _, last = (read_json(folder / CONFIG_FILE) for folder in folders)
    mode = str(pooling.get("pooling_mode"))
    activations = [str(step.get("activation_function")).rpartition(".")[2] for step in (dense, last)]
    if mode not in ("cls", "mean") or activations != ["GELU", "Identity"] or dense.get("bias") or not last.get("bias"):
        raise _unknown(directory, f"pooling by {mode}, then {' and '.join(activations)}")
    if last.get("out_features") != 1:
        raise ConfigurationError(f"{directory} has {last.get('out_features')} labels: a reranker has one logit a pair")
    return mode


def _classifier(pooling: str) -> dict[str, Any]:
    return {
        "architectures": ["ModernBertForSequenceClassification"],
        "classifier_pooling": pooling,
        "classifier_activation": "gelu",
        "classifier_bias": False,
        "norm_bias": False,
        "id2label": {"0": "LABEL_0"},
        "label2id": {"LABEL_0": 0},
    }


def _unknown(directory: Path, what: str) -> ConfigurationError:
    return ConfigurationError(
        f"{directory} is a chain of modules with a head that is not known here ({what}): export it to ONNX by other "
        "means and give the ONNX file"
    )
