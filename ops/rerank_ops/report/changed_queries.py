"""Queries that two systems order most differently: their values, the top of both orders, and where the relevant went.

The best are those that gain most in a measure, the worst those that lose most; equal ones stand by id. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rerank_ops.evaluate.comparison import Row
from rerank_ops.evaluate.systems import System
from rerank_ops.report.blocks import Change, Found, Relevant
from rerank_ops.report.text import first_words, in_one_line

#: Queries shown at either end, documents of each order, and relevant documents told of.
MOST, TOP, MOST_RELEVANT = 20, 5, 12
QUERY_CHARS, DOCUMENT_CHARS = 600, 160


@dataclass(frozen=True, slots=True)
class Sides:
    """Two systems, as orders and as values in a measure, with texts and judgements by id."""

    before: System
    after: System
    was: Mapping[str, float]
    now: Mapping[str, float]
    queries: Mapping[str, str]
    texts: Mapping[str, str]
    qrels: Mapping[str, Mapping[str, int]]


def values_of(row: Row, measure: str) -> dict[str, float]:
    """Return a row's values by query."""
    return {query: float(value) for query, value in zip(row.queries, row.values[measure], strict=True)}


def best_and_worst(sides: Sides, most: int = MOST) -> tuple[tuple[Change, ...], tuple[Change, ...]]:
    """Return the queries that gain most and those that lose most, each at most once, the largest change first."""
    gains = {query: sides.now[query] - was for query, was in sides.was.items() if query in sides.now}
    by_gain = sorted(gains, key=lambda query: (-gains[query], query))
    by_loss = sorted(gains, key=lambda query: (gains[query], query))
    best = [query for query in by_gain if gains[query] > 0][:most]
    worst = [query for query in by_loss if gains[query] < 0][:most]
    return tuple(_change(sides, query) for query in best), tuple(_change(sides, query) for query in worst)


def _change(sides: Sides, query: str) -> Change:
    before, after = sides.before.run.get(query, ()), sides.after.run.get(query, ())
    text = sides.queries.get(query, "")
    shown = first_words(text, QUERY_CHARS)
    if len(shown) < len(in_one_line(text)):
        shown = f"{shown} ({len(text):,} characters)"
    return Change(
        name=query,
        text=shown,
        was=sides.was[query],
        now=sides.now[query],
        before=_top(sides, query, before, after),
        after=_top(sides, query, after, before),
        relevant=_relevant(sides.qrels.get(query, {}), before, after),
    )


def _top(sides: Sides, query: str, order: Sequence[str], other: Sequence[str]) -> tuple[Found, ...]:
    ranks = {name: rank for rank, name in enumerate(other, start=1)}
    grades = sides.qrels.get(query, {})
    return tuple(
        Found(
            rank=rank,
            name=name,
            text=first_words(sides.texts[name], DOCUMENT_CHARS) if name in sides.texts else None,
            grade=grades.get(name),
            other=ranks.get(name),
        )
        for rank, name in enumerate(order[:TOP], start=1)
    )


def _relevant(grades: Mapping[str, int], before: Sequence[str], after: Sequence[str]) -> tuple[Relevant, ...]:
    """Return the relevant documents, those of best rank first, and those that neither order has last."""
    was = {name: rank for rank, name in enumerate(before, start=1)}
    now = {name: rank for rank, name in enumerate(after, start=1)}
    found = [Relevant(name, grade, was.get(name), now.get(name)) for name, grade in grades.items() if grade > 0]
    far = len(was) + len(now) + 1
    return tuple(sorted(found, key=lambda each: (each.now or far, each.was or far, each.name)))
