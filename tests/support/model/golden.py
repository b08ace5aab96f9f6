"""Scores of the default model that were made elsewhere, and how far this machine's may be from them."""

from __future__ import annotations

import tomllib
from pathlib import Path

from rerank_shared.models.cpu import host_features

GOLDEN = tomllib.loads((Path(__file__).with_name("golden_scores.toml")).read_text(encoding="utf-8"))
#: In logits.
TOLERANCE: float = GOLDEN["tolerance_saturating" if host_features().saturates else "tolerance"]
