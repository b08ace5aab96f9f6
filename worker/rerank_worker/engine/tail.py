"""Tail: turns the rows of an artefact's body into logits, for many pairs at once.

Rows run in blocks of one fixed size, the last block filled up, so that the runtime takes the same path whichever rows
share a block. Loading the model checks on this machine that a logit then depends on its row alone. If it does not, each
row runs by itself.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import numpy.typing as npt

from rerank_shared.scheduling.runs import SHARED_ROWS

log = logging.getLogger(__name__)
Floats = npt.NDArray[np.float32]


class Tail:
    """Runs one session from rows [n, width] to logits [n]."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._width = int(session.get_inputs()[0].shape[1])
        self._block = SHARED_ROWS
        if not self._is_position_free():
            log.warning("tail runs row by row: rounding on this CPU depends on a row's place in a block")
            self._block = 1

    def logits(self, rows: Floats) -> Floats:
        """Return the logit of each row, shape [n]."""
        count = len(rows)
        filled = np.zeros((-(-count // self._block) * self._block, self._width), dtype=np.float32)
        filled[:count] = rows
        parts = [self._run(filled[start : start + self._block]) for start in range(0, len(filled), self._block)]
        return np.concatenate(parts)[:count]

    def _run(self, rows: Floats) -> Floats:
        (logits,) = self._session.run(None, {"rows": rows})
        flat: Floats = np.asarray(logits, dtype=np.float32).reshape(-1)
        return flat

    def _is_position_free(self) -> bool:
        random = np.random.default_rng(0)
        rows = random.standard_normal((self._block, self._width), dtype=np.float32)
        alone = np.zeros_like(rows)
        alone[0] = rows[0]
        expected = self._run(alone)[0]
        moved = [np.roll(rows, shift, axis=0) for shift in range(self._block)]
        return all(self._run(block)[shift] == expected for shift, block in enumerate(moved))
