"""Layouts: turn the pairs of one run into the inputs of a graph. No layout changes a score beyond rounding.

unpadded  one pair, unpadded; by a kernel several, as varlen (`graph_layout`)
padded    pairs of similar length, padded on the right to the longest
varlen    tokens end to end, without padding; attention gathers them into padded rows and back
packed    tokens end to end as one row under a block-diagonal mask
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rerank_shared.models.precision import LayoutName
from rerank_worker.tokenizing import EncodedPair

Feeds = dict[str, npt.NDArray[Any]]


def unpadded(pairs: Sequence[EncodedPair]) -> Feeds:
    """Return the inputs of one pair: input_ids and token_type_ids, both [1, tokens]."""
    (pair,) = pairs
    return {"input_ids": pair.ids[None], "token_type_ids": pair.type_ids[None]}


def padded(pairs: Sequence[EncodedPair]) -> Feeds:
    """Return padded inputs [pairs, longest], the lengths [pairs] and, for plain graphs, the mask [pairs, longest]."""
    lengths = _lengths(pairs)
    shape = (len(pairs), int(lengths.max()))
    ids, types = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for row, pair in enumerate(pairs):
        ids[row, : pair.tokens], types[row, : pair.tokens] = pair.ids, pair.type_ids
    mask = (np.arange(shape[1]) < lengths[:, None]).astype(np.int64)
    return {"input_ids": ids, "token_type_ids": types, "lengths": lengths, "attention_mask": mask}


def varlen(pairs: Sequence[EncodedPair]) -> Feeds:
    """Return inputs [tokens] and two index maps: to padded rows [pairs, longest], and back [tokens]."""
    lengths = _lengths(pairs)
    longest, starts, positions = int(lengths.max()), _starts(lengths), _positions(lengths)
    column = np.arange(longest)
    # Beyond a pair's end any token will do, since attention ignores it. The pair's first token always exists.
    padded_from = starts[:, None] + np.where(column < lengths[:, None], column, 0)
    packed_from = np.repeat(np.arange(len(pairs)) * longest, lengths) + positions
    return {
        **_end_to_end(pairs),
        "lengths": lengths,
        "position_ids": positions,
        "padded_from": padded_from,
        "packed_from": packed_from,
    }


def packed(pairs: Sequence[EncodedPair]) -> Feeds:
    """Return inputs [1, tokens], the pair index of each token [tokens], and the first token's index [pairs].

    `lengths` are for graphs that call kernels.
    """
    lengths = _lengths(pairs)
    tokens = {name: values[None] for name, values in _end_to_end(pairs).items()}
    return {
        **tokens,
        "lengths": lengths,
        "position_ids": _positions(lengths)[None],
        "pair_of": np.repeat(np.arange(len(pairs)), lengths),
        "first": _starts(lengths),
    }


LAYOUTS: dict[LayoutName, Callable[[Sequence[EncodedPair]], Feeds]] = {
    "unpadded": unpadded, "padded": padded, "varlen": varlen, "packed": packed,
}  # fmt: skip


def graph_layout(layout: LayoutName, graphs: Collection[LayoutName], *, by_kernel: bool) -> LayoutName:
    """Return the layout of the graph that runs `layout` in an artefact that has `graphs`.

    A kernel gives a pair the same bits in every layout, and is faster where pairs share a run. So it runs layout
    unpadded by the graph of varlen, if there is one.
    """
    return "varlen" if by_kernel and layout == "unpadded" and "varlen" in graphs else layout


def _end_to_end(pairs: Sequence[EncodedPair]) -> Feeds:
    return {
        "input_ids": np.concatenate([pair.ids for pair in pairs]),
        "token_type_ids": np.concatenate([pair.type_ids for pair in pairs]),
    }


def _lengths(pairs: Sequence[EncodedPair]) -> npt.NDArray[np.int32]:
    return np.array([pair.tokens for pair in pairs], dtype=np.int32)


def _starts(lengths: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths[:-1], dtype=np.int64)])


def _positions(lengths: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    return np.arange(int(lengths.sum())) - np.repeat(_starts(lengths), lengths)
