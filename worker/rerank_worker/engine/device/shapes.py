"""Device shapes: rounds the inputs of layouts.py up, so that runs on a device have few shapes.

Lengths are multiples of 16, which the matrix units and attention kernels of GPUs need. Longer lengths are multiples of
an eighth of the next power of two, so that shapes recur and little filling is computed. The filling is masked like
padding, so no score changes beyond rounding. Layout unpadded has no mask and keeps its length.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rerank_shared.models.precision import LayoutName
from rerank_worker.engine.layouts import LAYOUTS, Feeds
from rerank_worker.tokenizing import EncodedPair

_TOKENS_STEP, _PAIRS_STEP = 16, 1
_STEPS = 8
#: Fills up the number of pairs; its row is discarded.
_FILLER = EncodedPair(np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64), truncated=False)


def round_tokens(tokens: int, most: int | None = None) -> int:
    """Return `tokens` rounded up to a device length, not beyond `most`."""
    rounded = _round(tokens, _TOKENS_STEP)
    return rounded if most is None else max(tokens, min(rounded, most))


def round_pairs(pairs: int) -> int:
    """Return `pairs` rounded up, for shapes that must recur exactly."""
    return _round(pairs, _PAIRS_STEP)


def device_feeds(
    layout: LayoutName, pairs: Sequence[EncodedPair], *, recurring: bool = False, most: int | None = None
) -> Feeds:
    """Return the inputs of one run. `most`: the number of positions that the model has.

    `recurring`: round the number of pairs up as well, so that shapes recur exactly.
    """
    if layout == "unpadded":
        return LAYOUTS[layout](pairs)
    fillers = round_pairs(len(pairs)) - len(pairs) if recurring else 0
    together = [*pairs, *[_FILLER] * fillers]
    feeds = LAYOUTS[layout](together)
    if layout == "padded":
        return _widened(feeds, ("input_ids", "token_type_ids", "attention_mask"), most=most)
    if layout == "packed":
        # Filling tokens get a pair index of their own, so they attend only to each other.
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
    """Return the feeds with the last axis of `names` rounded up and filled with `fill`."""
    wide = dict(feeds)
    for name in names:
        array = feeds[name]
        missing = round_tokens(array.shape[-1], most) - array.shape[-1]
        wide[name] = np.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, missing)], constant_values=fill)
    return wide
