"""Frozen pair set: the same (query, document) pairs for every export, so that reports can be compared.

The file is package data and is never regenerated in passing; `rerank_dev/freeze_pairs.py` made it. Its texts are from
CPython's own documentation, whose licence is in the file's first line.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal

PAIRS_FILE = "pairs.jsonl"
Kind = Literal["relevant", "near", "unrelated"]


@dataclass(frozen=True, slots=True)
class Pair:
    """A query with one document; `near` shares words with the query and does not answer it."""

    query: str
    document: str
    kind: Kind


def frozen_pairs() -> list[Pair]:
    """Return the frozen set in the order of its file."""
    lines = files("rerank_ops.quality").joinpath(PAIRS_FILE).read_text(encoding="utf-8").splitlines()
    return [Pair(**json.loads(line)) for line in lines[1:]]
