"""Words of texts, their sentences, and how alike two queries are. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

_WORD = re.compile(r"[^\W_]+")
#: A full stop, question or exclamation mark, then white space and something that begins a sentence.
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[\"'(\[]?[A-Z0-9])|\n{2,}")


def words(text: str) -> list[str]:
    """Return the words of a text in lower case, in order."""
    return _WORD.findall(text.lower())


def word_set(text: str) -> frozenset[str]:
    """Return the different words of a text."""
    return frozenset(words(text))


def jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    """Return the share of words that both have among those that either has: 0 to 1, and 0 where neither has any."""
    either = len(one | other)
    return len(one & other) / either if either else 0.0


def sentences(text: str) -> list[str]:
    """Return the sentences of a text, as far as punctuation tells them."""
    return [part.strip() for part in _SENTENCE_END.split(text) if part.strip()]


def document_frequencies(texts: Iterable[str]) -> Counter[str]:
    """Return in how many texts each word stands."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(word_set(text))
    return counts
