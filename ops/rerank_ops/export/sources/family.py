"""Family check: decides from a model's configs, before a download, whether its weights make a cross-encoder.

ONNX graphs are not checked here, since their outputs show what they are.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rerank_ops.export.graph.architecture import SURGERY
from rerank_ops.export.missing import export_extra
from rerank_ops.export.sources.checkpoint import CONFIG_FILE, read_json
from rerank_ops.export.sources.modular import check_chain, module_folders
from rerank_shared.errors import ConfigurationError

_SEE = "docs/models.md says which families are served"
#: Endings of the names of architectures that write text.
_GENERATIVE = ("ForCausalLM", "ForConditionalGeneration")


def check_family(directory: Path, model: str) -> None:
    """Raise ConfigurationError where the weights in `directory`, of `model`, are not a cross-encoder.

    An encoder without a head would be exported with a random head, and its scores would look valid.
    """
    path = directory / CONFIG_FILE
    if not path.is_file():
        return
    config = read_json(path)
    if "model_type" not in config:
        raise ConfigurationError(f"{path} has no model_type: it is no configuration of a model")
    if module_folders(directory):
        # The modules describe its head.
        check_chain(directory)
        return
    kinds = [str(kind) for kind in config.get("architectures") or []]
    if kinds and not any(kind.endswith("ForSequenceClassification") for kind in kinds):
        generates = any(kind.endswith(_GENERATIVE) for kind in kinds)
        why = ", and one that generates its judgement is not served here" if generates else ""
        raise ConfigurationError(
            f"{model} is a {', '.join(kinds)}: a cross-encoder is a sequence classifier{why}; {_SEE}"
        )
    labels = config.get("num_labels", len(config.get("id2label") or [None]))
    if labels != 1:
        raise ConfigurationError(f"{model} has {labels} labels: a reranker has one logit a pair")
    if needs_own_code(config):
        raise own_code(model, config)


def needs_own_code(config: dict[str, Any]) -> bool:
    """Return whether transformers could load a model only by running code from its repository."""
    if "auto_map" not in config or config["model_type"] in SURGERY:
        return False
    try:
        from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES
    except ImportError as error:
        raise export_extra(error.name or "transformers") from None
    return config["model_type"] not in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES


def own_code(model: str, config: dict[str, Any]) -> ConfigurationError:
    """Return the error for a model whose repository brings its own code (`auto_map`), which is never run."""
    return ConfigurationError(
        f"{model} (model_type {config.get('model_type')!r}) needs code of its own repository, which is never run here: "
        f"give an ONNX file of it (org/name#onnx/model.onnx, where the repository has one), or another model; {_SEE}"
    )
