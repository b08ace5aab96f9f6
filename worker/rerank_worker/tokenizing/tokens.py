"""Tokens: the token ids of one text, and of a pair."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Tokens:
    """The ids of a text, shape [tokens], in any integer type. Not `whole`: the ids of its head only."""

    ids: npt.NDArray[np.integer[Any]]
    whole: bool

    def serves(self, room: int) -> bool:
        """Return whether they suffice for `room` tokens of text; one more than `room` shows that the text was cut."""
        return self.whole or len(self.ids) > room


@dataclass(frozen=True, slots=True)
class EncodedPair:
    """Token ids of one (query, document) pair, unpadded, shape [tokens]; `truncated` if text was cut to fit.

    The arrays are contiguous slices of arrays that all pairs of a call share. Do not write to them.
    """

    ids: Ids
    type_ids: Ids
    truncated: bool

    @property
    def tokens(self) -> int:
        """Length in tokens, special tokens included."""
        return len(self.ids)
