"""Answers: all that was told of one request, joined. Pure.

Clicks come one after another, and a call may be repeated: what is told of one request, of one tenant, is one answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from rerank_shared.contract.messages import Feedback


@dataclass(slots=True)
class Answer:
    """What was shown of one request, best first, and the ranks that were clicked, from 1.

    `query_id` is the caller's, `query_digest` that of its text, '' where it was not told. `swapped_rank` and the next
    had changed places; 0: none.
    """

    request_id: str
    shown: tuple[str, ...]
    clicked: set[int]
    query_id: str | None
    query_digest: str
    swapped_rank: int
    query: str | None
    texts: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Joined:
    """Answers by tenant and request, in the order of their first record.

    `conflicting` counts records that were left out, as they name other documents, or an other order, for a request.
    """

    answers: dict[tuple[str, str], Answer] = field(default_factory=dict)
    conflicting: int = 0


def join(records: Iterable[Feedback]) -> Joined:
    """Return the answers of which records tell."""
    joined = Joined()
    for record in records:
        key = record.tenant, record.request_id
        answer = joined.answers.get(key)
        if answer is None:
            joined.answers[key] = answer = _answer(record)
        elif not _agree(answer.shown, record.shown):
            joined.conflicting += 1
            continue
        answer.shown = max(answer.shown, record.shown, key=len)
        answer.clicked |= set(record.clicked)
        answer.query_id = answer.query_id or record.query_id
        answer.query_digest = answer.query_digest or record.query_digest
        answer.query = answer.query or record.query
        answer.texts |= {name: text for name, text in zip(record.shown, record.texts, strict=False) if text is not None}
    return joined


def _answer(record: Feedback) -> Answer:
    return Answer(
        record.request_id,
        record.shown,
        set(record.clicked),
        record.query_id,
        record.query_digest,
        record.swapped_rank,
        record.query,
    )


def _agree(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether one list is the beginning of the other: a page on which more was looked at."""
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]
