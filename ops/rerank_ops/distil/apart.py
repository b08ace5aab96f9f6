"""Keeping queries apart: none of a training set shares a relevant document with a held-out one, or is nearly the same.

A split by query ids alone leaks: the queries of one document, or a claim and its negation, stand on both sides, and
what is measured on the held-out side is memory. Pure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rerank_ops.pseudo.words import jaccard, word_set

#: Share of words from which two queries count as nearly the same.
ALIKE = 0.5


@dataclass(frozen=True, slots=True)
class Question:
    """A query's text and the documents that answer it, or that it was made from."""

    text: str
    documents: frozenset[str]


@dataclass(frozen=True, slots=True)
class Apart:
    """Names of queries that stay, and of those that go: for a shared document, or for their words."""

    kept: tuple[str, ...]
    shared: tuple[str, ...]
    alike: tuple[str, ...]


def kept_apart(questions: Mapping[str, Question], others: Iterable[Question], alike: float = ALIKE) -> Apart:
    """Return which questions share no document with any of `others`, and are not nearly the same as one of them."""
    others = list(others)
    documents = frozenset().union(*(other.documents for other in others))
    near = _Near([other.text for other in others])
    kept: list[str] = []
    shared: list[str] = []
    similar: list[str] = []
    for name, question in questions.items():
        if question.documents & documents:
            shared.append(name)
        elif near.largest(question.text) >= alike:
            similar.append(name)
        else:
            kept.append(name)
    return Apart(tuple(kept), tuple(shared), tuple(similar))


class _Near:
    """Finds the query that is most like another one, among those that share a word with it."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._sets = [word_set(text) for text in texts]
        self._with: dict[str, list[int]] = defaultdict(list)
        for place, found in enumerate(self._sets):
            for word in found:
                self._with[word].append(place)

    def largest(self, text: str) -> float:
        """Return the largest likeness of a text to any of them."""
        own = word_set(text)
        places = {place for word in own for place in self._with.get(word, ())}
        return max((jaccard(own, self._sets[place]) for place in places), default=0.0)
