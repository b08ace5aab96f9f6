"""Pseudo-queries, for corpora whose users' queries nobody kept. Pure: the same corpus and seed give the same ones.

sentence  a sentence of a document, which is taken out of it: what answers is then the rest of the document
title     a title, or without one the first sentence; the text alone has to answer
terms     three to five rare words of a document, as people type them into a search box

A third of each, as far as the corpus has them. None is made of a document a second time
before all others have given one, and then it is one of another kind.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain, islice, repeat
from typing import Literal

from rerank_ops.pseudo.titled import Titled
from rerank_ops.pseudo.words import document_frequencies, sentences, words

Kind = Literal["real", "sentence", "title", "terms"]
PSEUDO: tuple[Kind, ...] = ("sentence", "title", "terms")
#: Words of a sentence or title that can be a query.
_FEWEST_WORDS, _MOST_WORDS = 5, 40
#: Words that have to be left of a document when a sentence is out.
_FEWEST_LEFT = 15
_TERMS = (3, 4, 5)
#: A term stands in two documents at least, or it would be a misprint or a name that finds its source alone.
_FEWEST_DOCUMENTS = 2
_TERM_CHARS = 4


@dataclass(frozen=True, slots=True)
class PseudoQuery:
    """A query made from the document `source`; `passage` is what is left of that to answer it."""

    id: str
    text: str
    kind: Kind
    source: str
    passage: str


def pseudo_queries(
    documents: Mapping[str, Titled], count: int, *, seed: int, without: Set[str] = frozenset()
) -> list[PseudoQuery]:
    """Return up to `count` pseudo-queries from documents other than those `without`."""
    order = drawn_order((name for name in documents if name not in without), seed, "pseudo")
    frequencies = document_frequencies(document.whole for document in documents.values())
    return list(islice(_made(documents, order, frequencies, seed), count))


def drawn_order(names: Iterator[str], seed: int, what: str) -> list[str]:
    """Return names in an order that looks random, and is the same for a seed on any machine and release of Python."""
    return sorted(names, key=lambda name: (draw(seed, what, name), name))


def draw(seed: int, *parts: str) -> int:
    """Return a number of 64 bits that looks random, always the same for the same arguments."""
    return int.from_bytes(sha256("\0".join((str(seed), *parts)).encode()).digest()[:8])


def _made(
    documents: Mapping[str, Titled], order: Sequence[str], frequencies: Counter[str], seed: int
) -> Iterator[PseudoQuery]:
    """Yield pseudo-queries, the kinds in turn; a document that gives none of one kind is asked for the next one."""
    turn = 0
    left: dict[str, list[Kind]] = {}
    for name in chain.from_iterable(repeat(order, len(PSEUDO))):
        for kind in (*PSEUDO[turn:], *PSEUDO[:turn]):
            if kind not in left.setdefault(name, list(PSEUDO)):
                continue
            left[name].remove(kind)
            made = _MAKERS[kind](documents[name], draw(seed, kind, name), frequencies)
            if made is not None:
                text, passage = made
                yield PseudoQuery(f"{kind}:{name}", text, kind, name, passage)
                turn = (PSEUDO.index(kind) + 1) % len(PSEUDO)
                break


def _by_sentence(document: Titled, number: int, _: Counter[str]) -> tuple[str, str] | None:
    parts = sentences(document.text)
    usable = [place for place, part in enumerate(parts) if _fits(part)]
    if not usable:
        return None
    place = usable[number % len(usable)]
    rest = Titled(document.title, " ".join(parts[:place] + parts[place + 1 :])).whole
    return (parts[place], rest) if len(words(rest)) >= _FEWEST_LEFT else None


def _by_title(document: Titled, _: int, __: Counter[str]) -> tuple[str, str] | None:
    first, *others = (document.title, document.text) if document.title else sentences(document.text) or [""]
    rest = " ".join(others)
    return (first, rest) if _fits(first, fewest=2) and len(words(rest)) >= _FEWEST_LEFT else None


def _by_terms(document: Titled, number: int, frequencies: Counter[str]) -> tuple[str, str] | None:
    found = dict.fromkeys(word for word in words(document.whole) if len(word) >= _TERM_CHARS and not word.isdecimal())
    known = [word for word in found if frequencies[word] >= _FEWEST_DOCUMENTS]
    count = _TERMS[number % len(_TERMS)]
    # Of the rarest ones, not the very rarest: two queries of a document would else be alike, and exact.
    rare = sorted(known, key=lambda word: (frequencies[word], word))[: 3 * count]
    if len(rare) < count or len(words(document.whole)) < _FEWEST_LEFT:
        return None
    chosen = set(sorted(rare, key=lambda word: draw(number, word))[:count])
    return " ".join(word for word in found if word in chosen), document.whole


def _fits(text: str, fewest: int = _FEWEST_WORDS) -> bool:
    return fewest <= len(words(text)) <= _MOST_WORDS


_MAKERS = {"sentence": _by_sentence, "title": _by_title, "terms": _by_terms}
