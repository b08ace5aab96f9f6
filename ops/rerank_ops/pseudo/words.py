"""Words of texts, their sentences, and how alike two queries are. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

_WORD = re.compile(r"[^\W_]+")
#: What may end a sentence: white space behind a mark (of Hindi and Arabic too), or an empty line.
_PAUSE = re.compile(r"(?<=[.!?।؟])\s+|\n{2,}")
#: A mark with white space before it, as collections of words have them, or one behind more than a single letter.
_MARK_APART, _MARK_OF_WORD = re.compile(r"\s[.!?।؟]$"), re.compile(r"[^\s.]{2}[.!?।؟]$")
_OPENING = "\"'(["


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
    cased, parts, begun = text != text.lower(), [], 0
    for pause in _PAUSE.finditer(text):
        if _ends(text, pause, cased):
            parts.append(text[begun : pause.start()])
            begun = pause.end()
    return [part.strip() for part in (*parts, text[begun:]) if part.strip()]


def _ends(text: str, pause: re.Match[str], cased: bool) -> bool:
    """Return whether a sentence ends at a pause. In a text without capitals, it ends behind any word but a letter."""
    before = text[max(0, pause.start() - 3) : pause.start()]
    if "\n\n" in pause.group() or _MARK_APART.search(before):
        return True
    if not cased:
        return _MARK_OF_WORD.search(before) is not None
    following = text[pause.end() : pause.end() + 2].lstrip(_OPENING)[:1]
    return following.isalnum() and not following.islower()


def document_frequencies(texts: Iterable[str]) -> Counter[str]:
    """Return in how many texts each word stands."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(word_set(text))
    return counts
