"""Lines of runs, the pairs of a first stage: how they are read, and in which order a query's documents stand. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rerank_shared.errors import InvalidRequest

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class RunLine:
    """A document of a query, with the score or the rank that its first stage gave it."""

    query: str
    document: str
    score: float | None = None
    rank: int | None = None


#: From a line to what stands in it. Raises InvalidRequest.
Parse = Callable[[bytes], RunLine]


def trec_line(line: bytes) -> RunLine:
    """Return a line of a TREC run. Its rank is not read: evaluators go by score, and so does this."""
    fields = _fields(line)
    if len(fields) not in (5, 6):
        raise InvalidRequest(f"`qid Q0 docno rank score tag` expected, not {len(fields)} fields")
    return RunLine(fields[0], fields[2], _score(fields[4]))


def msmarco_line(line: bytes) -> RunLine:
    """Return a line of query and passage, and behind them a rank, a score or both."""
    fields = _fields(line)
    if len(fields) not in (2, 3, 4):
        raise InvalidRequest(f"`qid pid`, and perhaps a rank and a score, expected, not {len(fields)} fields")
    query, document = fields[:2]
    if len(fields) == 4:
        return RunLine(query, document, _score(fields[3]))
    if len(fields) == 3:
        return RunLine(query, document, _score(fields[2]), int(fields[2]) if fields[2].isdecimal() else None)
    return RunLine(query, document)


def query_bytes(line: bytes) -> bytes:
    """Return a line's query as it is spelled; nothing for a blank line."""
    return line.split(None, 1)[0] if line.strip() else b""


def first_stage_order(lines: Sequence[RunLine]) -> list[RunLine]:
    """Return the lines of one query, best first: by rank where all have one, else by score. Ties stay in their order.

    Ranks are no scores, so that lines which have them come without. Raises InvalidRequest for a document given twice.
    """
    seen: set[str] = set()
    for line in lines:
        if line.document in seen:
            raise InvalidRequest(f"the document {line.document!r} stands twice for the query {line.query!r}")
        seen.add(line.document)
    if all(line.rank is not None for line in lines):
        return [RunLine(line.query, line.document) for line in sorted(lines, key=lambda line: line.rank or 0)]
    return sorted(lines, key=lambda line: -math.inf if line.score is None else -line.score)


def some(names: Sequence[str]) -> str:
    """Return the first few names, and how many more there are."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(map(repr, names[:_SHOWN])) + more


def _fields(line: bytes) -> list[str]:
    try:
        return line.decode().split()
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"not UTF-8: {error.reason} at byte {error.start}") from None


def _score(text: str) -> float:
    try:
        score = float(text)
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise InvalidRequest(f"score: a finite number expected, not {text!r}")
    return score
