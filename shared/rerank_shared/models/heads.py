"""Heads: what turns a model's last states into a score, by the names of the field. A worker has a scorer for each."""

from __future__ import annotations

from typing import Literal, get_args

#: Cross-encoders: query and document are one sequence, and a classifier gives one logit for it.
HeadName = Literal["sequence-classification"]
HEADS: tuple[HeadName, ...] = get_args(HeadName)
SEQUENCE_CLASSIFICATION: HeadName = "sequence-classification"
