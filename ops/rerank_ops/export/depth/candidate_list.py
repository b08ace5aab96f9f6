"""Lists of candidates: which of their documents a head is fitted on, and which lists it is measured on. Pure.

A head is fitted on few documents of many queries: the best ones of the first stage, and some from further below. It is
measured on whole lists of other queries, since ranking whole lists is what it will do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rerank_shared.errors import ConfigurationError

#: Documents of a list that a head is fitted on: the best ones, and others from below those.
BEST, BELOW = 4, 4
PER_LIST = BEST + BELOW
#: Candidates of a list at most.
LONGEST = 50
#: Fewer make no list to measure on: a choice of ten among eleven says nothing.
SHORTEST = 20
#: Lists to measure on: as many as that, and never more than a third of all.
MEASURED, FEWEST_MEASURED = 20, 10
#: Pairs below which no head is fitted.
FEWEST_PAIRS = 100

TextPair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class CandidateList:
    """A query and its candidates, best first. `made`: the query is no user's, but made of the corpus."""

    query: str
    documents: tuple[str, ...]
    made: bool = False


@dataclass(frozen=True, slots=True)
class Divided:
    """Pairs to fit a head on, of `queries` lists, and lists of other queries to measure it on."""

    fitted: tuple[TextPair, ...]
    queries: int
    measured: tuple[CandidateList, ...]
    made_queries: int

    @property
    def digest(self) -> str:
        """The SHA-256 of all texts, to tell whether two heads were fitted and measured on the same ones."""
        lists = (text for each in self.measured for text in (each.query, *each.documents))
        return _digest([*(text for pair in self.fitted for text in pair), *lists])


def lists_needed(pairs: int) -> int:
    """Return how many lists are enough for a head of so many pairs, though some are short."""
    return pairs * 5 // (PER_LIST * 4) + MEASURED


def divided(lists: Sequence[CandidateList], pairs: int) -> Divided:
    """Return the lists' pairs to fit on, `pairs` at most, and the lists to measure on. The same lists divide alike.

    Raises ConfigurationError where they are too few for either.
    """
    drawn = sorted(lists, key=lambda each: _digest([each.query]))
    long = [each for each in drawn if len(each.documents) >= SHORTEST]
    measured = long[: min(MEASURED, max(FEWEST_MEASURED, len(drawn) // 3))]
    others = [each for each in drawn if each not in measured]
    chosen: list[TextPair] = []
    queries = []
    for each in others:
        if len(chosen) >= pairs:
            break
        queries.append(each)
        chosen += [(each.query, document) for document in _banded(each)]
    if len(measured) < FEWEST_MEASURED or len(chosen) < FEWEST_PAIRS:
        raise ConfigurationError(
            f"too little text to shorten a model on: {len(measured)} queries with {SHORTEST} candidates or more to "
            f"measure on, {len(chosen)} pairs of other queries to fit on; {FEWEST_MEASURED} and {FEWEST_PAIRS} are "
            f"the least. Give more text with --text"
        )
    made = sum(each.made for each in (*queries, *measured))
    return Divided(tuple(chosen[:pairs]), len(queries), tuple(measured), made)


def _banded(of: CandidateList) -> list[str]:
    """Return the best documents of a list, and some from below them that look drawn by chance."""
    below = sorted(of.documents[BEST:LONGEST], key=lambda document: _digest([of.query, document]))
    return [*of.documents[:BEST], *below[:BELOW]]


def _digest(texts: Iterable[str]) -> str:
    """Return the SHA-256 of texts, each behind its length, so that no two sequences have the same bytes."""
    digest = hashlib.sha256()
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8) + data)
    return digest.hexdigest()
