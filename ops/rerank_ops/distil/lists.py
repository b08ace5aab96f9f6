"""Lists to learn from: each a query with a few of its candidates, by bands of the first stage. Pure.

Of each query the best few that the first stage found, some from further below, and the document that is known to
answer. The best ones alone would teach nothing of what is wrong; those from below alone would be told apart too easily.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rerank_ops.distil.material import digest_of
from rerank_ops.evaluate.first_stages import Hits
from rerank_ops.pseudo.queries import Kind, draw

#: Documents that are surely in a list, and how many more come from the band below.
TOP, BELOW = 4, 4
#: The band below, by rank from 1.
BAND = (5, 50)
#: Candidates that the first stage has to find, or a query teaches no order.
FEWEST = 4


@dataclass(frozen=True, slots=True)
class Candidate:
    """A document of a list. `grade` is its judgement, None where it has none; `source`: the query was made from it."""

    id: str
    text: str
    first: float
    grade: int | None = None
    source: bool = False


@dataclass(frozen=True, slots=True)
class LearnedList:
    """A query and the candidates that the student learns to order, in the order of the first stage."""

    id: str
    query: str
    kind: Kind
    candidates: tuple[Candidate, ...]

    @property
    def key(self) -> str:
        """The digest of all texts that are scored, in their order."""
        return digest_of(json.dumps([self.query, [each.text for each in self.candidates]]))

    @property
    def judged(self) -> bool:
        """Whether one of its candidates is known to be relevant."""
        return any((each.grade or 0) > 0 for each in self.candidates)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a query: grades of documents, and the source that it was made from.

    `passage` stands for the source's text in the list.
    """

    query: str
    kind: Kind
    grades: Mapping[str, int]
    source: str | None = None
    passage: str | None = None


def banded(name: str, known: Known, hits: Hits, texts: Mapping[str, str], seed: int) -> LearnedList | None:
    """Return the list of a query; None where the first stage found too little.

    A document that answers, and was not found, has the score of the last one that was.
    """
    if len(hits) < FEWEST:
        return None
    scores = dict(hits)
    low, high = BAND
    below = sorted((found for found, _ in hits[low - 1 : high]), key=lambda found: draw(seed, "below", name, found))
    chosen = {found for found, _ in hits[:TOP]} | set(below[:BELOW])
    chosen |= {found for found, grade in known.grades.items() if grade > 0 and found in texts}
    if known.source is not None:
        chosen.add(known.source)
    last = min(scores.values())
    candidates = [
        Candidate(
            found,
            known.passage if found == known.source and known.passage is not None else texts[found],
            scores.get(found, last),
            known.grades.get(found),
            found == known.source,
        )
        for found in chosen
    ]
    return LearnedList(
        name, known.query, known.kind, tuple(sorted(candidates, key=lambda each: (-each.first, each.id)))
    )


def pairs_in(lists: Sequence[LearnedList]) -> int:
    """Return the number of pairs of all lists."""
    return sum(len(each.candidates) for each in lists)
