"""The token ids of one text, and the pair that is made of two."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Tokens:
    """The ids of a text, in any integer type, or, where they are not the `whole` of it, of its head alone."""

    ids: npt.NDArray[np.integer[Any]]
    whole: bool

    def serves(self, room: int) -> bool:
        """Whether they tell all that a pair with `room` tokens of text can show: one more than fits tells of a cut."""
        return self.whole or len(self.ids) > room


@dataclass(frozen=True, slots=True)
class EncodedPair:
    """Token ids of one (query, document) pair, unpadded, shape [tokens]; `truncated` if text was cut to fit.

    The arrays are slices of those of all pairs of a call, contiguous each, and not to be written to.
    """

    ids: Ids
    type_ids: Ids
    truncated: bool

    @property
    def tokens(self) -> int:
        """Length in tokens, special ones included."""
        return len(self.ids)
