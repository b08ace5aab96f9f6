"""What the config files beside a model say of it: its activation and the tokens that a pair may have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from rerank_shared.errors import ModelDamaged

#: Later ones win. Optional: a model without them is cut to its engine's default and read through a sigmoid.
CONFIG_FILES = ("tokenizer_config.json", "config.json")
#: Kinds of model whose first position stands behind the padding id, so that two rows of the table are no positions.
_TWO_POSITIONS_LESS = frozenset({"camembert", "mpnet", "roberta", "xlm-roberta"})


def read_config(directory: Path) -> dict[str, Any]:
    """Return the configs of a directory as one map; raises ModelDamaged for one that is not JSON."""
    merged: dict[str, Any] = {}
    for name in CONFIG_FILES:
        path = directory / name
        if path.is_file():
            try:
                loaded = json.loads(path.read_text(encoding="utf-8"))
            except ValueError as error:
                raise ModelDamaged(f"{path} is not JSON: {error}") from None
            merged |= loaded if isinstance(loaded, dict) else {}
    return merged


def activation_of(config: dict[str, Any]) -> Literal["sigmoid", "identity"]:
    """Return the activation that sentence-transformers stored; where none is known, the sigmoid of one label."""
    stored = config.get("sentence_transformers")
    name = stored.get("activation_fn") if isinstance(stored, dict) else None
    # The key before sentence-transformers 4.
    name = name or config.get("sbert_ce_default_activation_function")
    return "identity" if str(name).endswith("Identity") else "sigmoid"


def max_length_of(config: dict[str, Any]) -> int | None:
    """Return the tokens that a pair may have. None where nothing says it.

    Tokenizers without a limit say so with a huge number; positions then decide.
    """
    positions = config.get("max_position_embeddings")
    if isinstance(positions, int) and config.get("model_type") in _TWO_POSITIONS_LESS:
        positions -= 2
    limits = [config.get("model_max_length"), positions]
    sane = [int(limit) for limit in limits if isinstance(limit, int | float) and 0 < limit < 1_000_000]
    return min(sane) if sane else None
