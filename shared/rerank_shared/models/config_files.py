"""Config files beside a model: give its activation, the largest length of a pair, and its prompt.

They are read in the same way for a model that is served as it is and for its export, so that both score alike.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from rerank_shared.errors import ModelDamaged

#: Later files win. All are optional: the assumptions for a model without them are logged when it is loaded.
_PLAIN_FILES = ("sentence_bert_config.json", "tokenizer_config.json", "config.json")
#: The file in which sentence-transformers 5 keeps activation and prompts; its other names differ from those of the
#: files above.
SENTENCE_TRANSFORMERS_FILE = "config_sentence_transformers.json"
CONFIG_FILES = (*_PLAIN_FILES, SENTENCE_TRANSFORMERS_FILE)
#: The largest length of a pair, in tokens, where no file gives one.
DEFAULT_MAX_LENGTH = 512
#: Key of that file's content, in the map that `read_config` returns.
_SENTENCE_TRANSFORMERS = "sentence_transformers"
#: Kinds of model whose first position comes after the padding id, so that the rows up to it are no positions.
_POSITIONS_AFTER_PADDING = frozenset(
    {
        "camembert", "data2vec-text", "ibert", "longformer", "luke", "mpnet", "roberta", "roberta-prelayernorm",
        "xlm-roberta", "xlm-roberta-xl", "xmod",
    }
)  # fmt: skip
#: Fixed in MPNet's code, whatever its config says; the default of the others.
_USUAL_PADDING_ID = 1


def read_config(directory: Path) -> dict[str, Any]:
    """Return the configs of a directory as one map; raises ModelDamaged for a file that is not JSON."""
    merged: dict[str, Any] = {}
    for name in _PLAIN_FILES:
        merged |= _read(directory / name)
    own = _read(directory / SENTENCE_TRANSFORMERS_FILE)
    stored = merged.get(_SENTENCE_TRANSFORMERS)
    # sentence-transformers reads its own file first, and takes null as missing.
    told = {name: value for name, value in own.items() if value is not None}
    return merged | {_SENTENCE_TRANSFORMERS: (stored if isinstance(stored, dict) else {}) | told} if told else merged


def activation_of(config: dict[str, Any]) -> Literal["sigmoid", "identity"]:
    """Return the activation that sentence-transformers stored; where none is known, the sigmoid of one label."""
    # The second key was used before sentence-transformers 4.
    name = _stored(config).get("activation_fn") or config.get("sbert_ce_default_activation_function")
    return "identity" if str(name).endswith("Identity") else "sigmoid"


def prompt_of(config: dict[str, Any]) -> str:
    """Return the text that stands before every query, as sentence-transformers stored it; mostly empty.

    Raises ModelDamaged where the default prompt is named and not given.
    """
    stored = _stored(config)
    name, prompts = stored.get("default_prompt_name"), stored.get("prompts")
    if name is None:
        return ""
    prompt = prompts.get(name) if isinstance(prompts, dict) else None
    if not isinstance(prompt, str):
        raise ModelDamaged(f"{SENTENCE_TRANSFORMERS_FILE} has no prompt {name!r}, which its default_prompt_name names")
    return prompt


def max_length_of(config: dict[str, Any]) -> int | None:
    """Return the largest length of a pair in tokens, None where no file gives it.

    Tokenizers without a limit give a huge number; positions then decide.
    """
    positions = config.get("max_position_embeddings")
    if isinstance(positions, int):
        positions -= first_position(config)
    asked = config.get("max_seq_length") or config.get("model_max_length")
    sane = [int(limit) for limit in (asked, positions) if isinstance(limit, int | float) and 0 < limit < 1_000_000]
    return min(sane) if sane else None


def first_position(config: Mapping[str, Any]) -> int:
    """Return the row of the position table that the first token of a pair takes."""
    family = config.get("model_type")
    if family not in _POSITIONS_AFTER_PADDING:
        return 0
    padding = config.get("pad_token_id")
    return 1 + (padding if isinstance(padding, int) and family != "mpnet" else _USUAL_PADDING_ID)


def _stored(config: dict[str, Any]) -> dict[str, Any]:
    stored = config.get(_SENTENCE_TRANSFORMERS)
    return stored if isinstance(stored, dict) else {}


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelDamaged(f"{path} is not JSON: {error}") from None
    return loaded if isinstance(loaded, dict) else {}
