"""Batches of lists: texts as a worker tokenizes them, padded to the longest pair of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from rerank_ops.distil.lists import LearnedList
from rerank_worker.tokenizing import EncodedPair, PairTokenizer


@dataclass(frozen=True, slots=True)
class EncodedList:
    """The pairs of a list."""

    id: str
    pairs: tuple[EncodedPair, ...]


@dataclass(frozen=True, slots=True)
class Batch:
    """Pairs of some lists, one after the other: `inputs` are the model's, [pairs, tokens]; `sizes` pairs a list."""

    inputs: dict[str, Any]
    sizes: tuple[int, ...]


def encoded_lists(tokenizer: PairTokenizer, lists: Sequence[LearnedList], max_length: int) -> list[EncodedList]:
    """Return lists as token ids, pairs cut to `max_length` tokens. Raises InvalidRequest for a length without room."""
    return [
        EncodedList(each.id, tuple(tokenizer.encode(each.query, [c.text for c in each.candidates], max_length)))
        for each in lists
    ]


def batch_of(lists: Sequence[EncodedList], padding: int, device: str) -> Batch:
    """Return the pairs of lists as tensors on a device; `padding` is the id of the padding token."""
    pairs = [pair for each in lists for pair in each.pairs]
    longest = max(pair.tokens for pair in pairs)
    ids = np.full((len(pairs), longest), padding, dtype=np.int64)
    types, mask = np.zeros_like(ids), np.zeros_like(ids)
    for row, pair in enumerate(pairs):
        ids[row, : pair.tokens], types[row, : pair.tokens], mask[row, : pair.tokens] = pair.ids, pair.type_ids, 1
    arrays = {"input_ids": ids, "token_type_ids": types, "attention_mask": mask}
    inputs = {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}
    return Batch(inputs, tuple(len(each.pairs) for each in lists))
