"""The inputs of a run on a device: those of layouts.py, rounded up to few shapes.

Lengths are multiples of 16 at least, which the matrix units and the attention kernels of GPUs ask for, and an eighth of
the next power of two above that, so that shapes recur and little is computed for nothing. What is filled up is masked
like padding; no score changes beyond rounding. Layout single has no mask and keeps its length.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rerank_shared.models.precision import LayoutName
from rerank_worker.engine.layouts import LAYOUTS, Feeds
from rerank_worker.tokenizing import EncodedPair

_TOKENS_STEP, _PAIRS_STEP = 16, 1
_STEPS = 8
#: Stands where the number of pairs is rounded up; its row is thrown away.
_FILLER = EncodedPair(np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64), truncated=False)


def round_tokens(tokens: int, most: int | None = None) -> int:
    """Return the length that `tokens` are filled up to, not beyond `most`."""
    rounded = _round(tokens, _TOKENS_STEP)
    return rounded if most is None else max(tokens, min(rounded, most))


def round_pairs(pairs: int) -> int:
    """Return the number of pairs that `pairs` are filled up to, where shapes have to recur exactly."""
    return _round(pairs, _PAIRS_STEP)


def device_feeds(
    layout: LayoutName, pairs: Sequence[EncodedPair], *, recurring: bool = False, most: int | None = None
) -> Feeds:
    """Return the inputs of one run. `most`: tokens that the model has positions for.

    `recurring`: in one of few shapes, so that the number of pairs is rounded as well.
    """
    if layout == "unpadded":
        return LAYOUTS[layout](pairs)
    fillers = round_pairs(len(pairs)) - len(pairs) if recurring else 0
    together = [*pairs, *[_FILLER] * fillers]
    feeds = LAYOUTS[layout](together)
    if layout == "padded":
        return _widened(feeds, ("input_ids", "token_type_ids", "attention_mask"), most=most)
    if layout == "packed":
        # Tokens of a pair that does not exist see each other only.
        feeds = _widened(feeds, ("input_ids", "token_type_ids", "position_ids"))
        return _widened(feeds, ("pair_of",), fill=len(together))
    longest = feeds["padded_from"].shape[1]
    feeds = _widened(feeds, ("padded_from",))
    row, column = np.divmod(feeds["packed_from"], longest)
    feeds["packed_from"] = row * feeds["padded_from"].shape[1] + column
    return _widened(feeds, ("input_ids", "token_type_ids", "position_ids", "packed_from"))


def _round(count: int, least: int) -> int:
    above = 1 << (count - 1).bit_length()
    step = max(least, above // _STEPS)
    return -(-count // step) * step


def _widened(feeds: Feeds, names: Sequence[str], fill: int = 0, most: int | None = None) -> Feeds:
    """Return the feeds with the last axis of some filled up."""
    wide = dict(feeds)
    for name in names:
        array = feeds[name]
        missing = round_tokens(array.shape[-1], most) - array.shape[-1]
        wide[name] = np.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, missing)], constant_values=fill)
    return wide
