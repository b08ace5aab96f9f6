"""First stage of the demo: chooses by BM25 over the whole corpus the best k passages for each question.

Ties keep the corpus order, so the same corpus and question give the same candidates each time. A passage that shares
no word with the question is never a candidate, so there may be fewer than k.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import bm25s
import numpy as np

from rerank_ops.demo.corpus import Passage

# Unlike bm25s's default, this pattern splits snake_case, so that "walk packages" finds `pkgutil.walk_packages`.
TOKEN_PATTERN = r"(?u)[^\W_]{2,}"


@dataclass(frozen=True, slots=True)
class Bm25Hit:
    """One candidate of the first stage; `bm25` is comparable only within one question."""

    id: str
    text: str
    bm25: float


class Bm25Index:
    """BM25 (Lucene's formula, k1 = 1.5, b = 0.75) over passages held in memory."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        self._passages = tuple(passages)
        self._bm25 = bm25s.BM25(method="lucene", k1=1.5, b=0.75, backend="numpy")
        tokens = _tokens([p.text for p in self._passages])
        # bm25s can't index passages of which none has a word.
        self._has_words = any(tokens)
        if self._has_words:
            self._bm25.index(tokens, show_progress=False)

    def top(self, question: str, k: int) -> list[Bm25Hit]:
        """Return up to k candidates, best first."""
        (tokens,) = _tokens([question])
        if not tokens or not self._has_words:
            return []
        scores = np.asarray(self._bm25.get_scores(tokens))
        best = np.argsort(-scores, kind="stable")[:k]
        return [
            Bm25Hit(id=self._passages[i].id, text=self._passages[i].text, bm25=float(scores[i]))
            for i in best
            if scores[i] > 0
        ]


def _tokens(texts: list[str]) -> list[list[str]]:
    tokens: list[list[str]] = bm25s.tokenize(
        texts, token_pattern=TOKEN_PATTERN, stopwords="en_plus", return_ids=False, show_progress=False
    )
    return tokens
