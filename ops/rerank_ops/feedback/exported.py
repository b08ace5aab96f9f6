"""From stored records to judgements: which records count, how clicks are weighted, and what is told of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rerank_ops.feedback.answers import join
from rerank_ops.feedback.judged import CLIP, Judged, judged
from rerank_ops.feedback.propensities import Propensities, propensities
from rerank_ops.feedback.stream import Stored
from rerank_producer.bulk.texts.records import text_records
from rerank_shared.contract.feedback import query_digest
from rerank_shared.contract.messages import Feedback

_NO_SWAPS = (
    "no swaps told how much each rank is looked at: a click counts 1 at every rank, so what stood on top is overrated. "
    "Set RERANK_FEEDBACK_SWAP_SHARE to learn it"
)


@dataclass(frozen=True, slots=True)
class Choice:
    """Which records count, and how: those of a `tenant`, from a time on (`since`, epoch seconds); None: all."""

    tenant: str | None = None
    since: float | None = None
    correct: bool = True
    clip: float = CLIP
    min_impressions: int = 1


@dataclass(frozen=True, slots=True)
class Exported:
    """Judgements, and what they come from. `found` is None where clicks were not to be weighted."""

    rows: list[Judged]
    found: Propensities | None
    choice: Choice
    answers: int
    clicks: int
    unreadable: int
    conflicting: int

    @property
    def queries(self) -> int:
        """The number of queries."""
        return len({row.query_id for row in self.rows})

    def left_out(self) -> dict[str, int]:
        """Return the number of records that were left out, by reason."""
        found = {
            "records that can't be read": self.unreadable,
            "records that name other documents than the first of their request": self.conflicting,
        }
        return {reason: count for reason, count in found.items() if count}

    def about(self) -> dict[str, Any]:
        """Return what is told beside the judgements, as plain data."""
        found = (
            None if self.found is None else {"values": self.found.values, "steps": list(map(asdict, self.found.steps))}
        )
        counts = {"answers": self.answers, "clicks": self.clicks, "queries": self.queries, "judgements": len(self.rows)}
        unused = {"unreadable": self.unreadable, "conflicting": self.conflicting}
        return {"propensities": found, "choice": asdict(self.choice), **counts, **unused}


def exported(records: Iterable[Stored], choice: Choice, queries: Path | None = None) -> Exported:
    """Return the judgements of what records tell; `queries` is a file that names them by their texts.

    Raises what reading that file raises.
    """
    unreadable = 0

    def counted() -> Iterator[Feedback]:
        nonlocal unreadable
        for stored in records:
            if stored.feedback is None:
                unreadable += 1
            elif choice.tenant in (None, stored.feedback.tenant) and stored.at >= (choice.since or 0.0):
                yield stored.feedback

    joined = join(counted())
    answers = list(joined.answers.values())
    # A query that has two ids keeps the first.
    names: dict[str, str] = {}
    for _, name, text in text_records(queries) if queries is not None else ():
        names.setdefault(query_digest(text), name)
    found = propensities(answers) if choice.correct else None
    rows = judged(answers, found, choice.clip, names, choice.min_impressions)
    clicks = sum(len(answer.clicked) for answer in answers)
    return Exported(rows, found, choice, len(answers), clicks, unreadable, joined.conflicting)


def propensity_lines(exported: Exported) -> Iterator[str]:
    """Yield what the swaps told of ranks, in lines for people."""
    if exported.found is None:
        return
    if exported.found.known == 1:
        yield _NO_SWAPS
        return
    yield "rank  looked at   95 % interval of the step   swapped answers"
    yield f"{1:>4}  {1.0:>9.3f}"
    steps = exported.found.steps[: exported.found.known - 1]
    for step, value in zip(steps, exported.found.values[1:], strict=True):
        interval = f"× {step.ratio:.3f} ({step.low:.3f} to {step.high:.3f})"
        yield f"{step.rank + 1:>4}  {value:>9.3f}   {interval:<25}   {step.swapped:>15,}"
    yield f"Clicks below rank {exported.found.known} count as those at it."
