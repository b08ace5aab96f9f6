"""The verdict of an evaluation in a sentence: what intervals and corrected p allow to be said, and no more. Pure.

A system is better, or worse, if each corrected p is below 0.05 and its interval holds values of one sign alone. Where
no system is better and the intervals leave room for a gain that would matter, the queries can't tell.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rerank_ops.evaluate.comparison import COMPARED, Comparison, Row
from rerank_ops.evaluate.evaluation import Evaluation
from rerank_ops.judging.bootstrap import Interval
from rerank_ops.report.blocks import Verdict
from rerank_ops.report.text import counted, listed, signed

ALPHA = 0.05
#: A gain that no service would notice: intervals below it say that there is nothing to be had.
NOTHING = 0.01
#: A gain that is worth having, for which the number of queries is told that it takes to see it.
WORTH = 0.02
#: Queries below which no interval is narrow enough to say that there is nothing to be had.
FEW = 20
#: Standard errors between 0 and a difference that is found four times of five at `ALPHA`, and in half an interval.
_FOUND, _HALF = 2.80, 1.96


@dataclass(frozen=True, slots=True)
class Judged:
    """A system as it compares with the baseline in one measure."""

    name: str
    found: Comparison

    @property
    def gain(self) -> Interval:
        """The mean difference, with its interval."""
        return self.found.gain

    @property
    def sure(self) -> bool:
        """Whether the difference is more than chance."""
        return not self.gain.spans_zero and all(p < ALPHA for p in self.found.corrected.values())

    @property
    def better(self) -> bool:
        """Whether it is better for sure."""
        return self.sure and self.gain.mean > 0

    @property
    def worse(self) -> bool:
        """Whether it is worse for sure."""
        return self.sure and self.gain.mean < 0


def judged(rows: Sequence[Row], measure: str) -> list[Judged]:
    """Return the systems that were compared with the baseline, best first; of equal ones the first row."""
    found = [Judged(row.name, row.comparisons[measure]) for row in rows if row.kind in COMPARED and row.comparisons]
    return sorted(found, key=lambda each: -each.gain.mean)


def subject(evaluation: Evaluation) -> str | None:
    """Return the system that a report shows beside the baseline: the best of those that are better, else of all."""
    found = judged(evaluation.rows, evaluation.asked.measures[0])
    return next((each.name for each in [*(each for each in found if each.better), *found]), None)


def verdict(evaluation: Evaluation) -> Verdict:
    """Return what the first measure says of all systems against their baseline."""
    asked = evaluation.asked
    measure = asked.measures[0]
    if broken := evaluation.unrepeatable():
        names = listed([each.name for each in broken])
        return Verdict(
            f"Trust no difference here: a pair got another score from {names} the second time.",
            "broken",
            ("Hosts or models of the fleet differ, or they changed meanwhile. Mend that, and measure again.",),
        )
    found = judged(evaluation.rows, measure)
    if not found:
        return Verdict(f"Nothing was compared with {asked.baseline}.", "open")
    better = [each for each in found if each.better]
    if better:
        return _better(better, found, measure, asked.baseline)
    return _not_better(found, measure, asked.baseline, asked.queries)


def _better(better: Sequence[Judged], found: Sequence[Judged], measure: str, baseline: str) -> Verdict:
    best = better[0]
    headline = (
        f"{best.name} is better than {baseline}: {measure} rises by {best.gain.mean:.3f}, {_bounds(best.gain)} with "
        "95 % confidence."
    )
    support = [_counts(best)]
    higher = [each for each in found if each.gain.mean > best.gain.mean]
    if higher:
        support.append(f"The mean of {listed([each.name for each in higher])} is higher, but that may be chance.")
    if len(better) > 1:
        others = listed([f"{each.name} ({signed(each.gain.mean)})" for each in better[1:]])
        support.append(f"Better as well: {others}. Which of them is best was not tested; see what each costs.")
    support += _others(found)
    if len(found) > 1:
        support.append("It was chosen by these queries, which flatters it: confirm it on others before you rely on it.")
    return Verdict(headline, "better", tuple(support))


def _not_better(found: Sequence[Judged], measure: str, baseline: str, queries: int) -> Verdict:
    best = found[0]
    if all(each.found.same for each in found):
        return Verdict(f"Keep {baseline}: no query differs in {measure}.", "worse")
    if queries == 1:
        return Verdict(f"One query can't tell: {best.name} differs by {signed(best.gain.mean)} in {measure}.", "open")
    if all(each.worse for each in found):
        headline = f"Keep {baseline}: {best.name} is worse by {-best.gain.mean:.3f} in {measure}, {_loss(best.gain)}."
        if len(found) > 1:
            headline = f"Keep {baseline}: all others are worse, by {-best.gain.mean:.3f} or more in {measure}."
        return Verdict(headline, "worse", (_counts(best),))
    if queries >= FEW and all(each.gain.high < NOTHING for each in found):
        return Verdict(
            f"Keep {baseline}: no system gains as much as {NOTHING} in {measure}.",
            "worse",
            (f"{best.name} has the best mean of the others: {_difference(best)}.", *_others(found)),
        )
    headline = (
        f"These {queries:,} queries can't tell whether any system is better than {baseline}."
        if len(found) > 1
        else f"These {queries:,} queries can't tell whether {best.name} is better than {baseline}."
    )
    told = (f"{best.name} has the best mean: {_difference(best)} in {measure}.", _counts(best))
    return Verdict(headline, "open", (*told, *_others(found), *_needed(best, queries)))


def _needed(best: Judged, queries: int) -> list[str]:
    """Return what these queries can show, and how many would show a gain that is worth having."""
    error = (best.gain.high - best.gain.low) / 2 / _HALF
    seen = _FOUND * error
    if seen <= WORTH:
        return []
    needed = math.ceil(queries * (seen / WORTH) ** 2)
    rounded = round(needed, 1 - len(str(needed)))
    return [
        f"They show a difference of {seen:.2f} or more four times of five. For one of {WORTH} it takes about "
        f"{rounded:,} queries of this kind."
    ]


def _others(found: Sequence[Judged]) -> list[str]:
    told = []
    if worse := [f"{each.name} ({signed(each.gain.mean)})" for each in found if each.worse]:
        told.append(f"Worse: {listed(worse)}.")
    if open_ := [f"{each.name} ({_difference(each)})" for each in found[1:] if not each.sure and not each.found.same]:
        told.append(f"May be chance: {listed(open_)}.")
    return told


def _counts(each: Judged) -> str:
    found = each.found
    return (
        f"{counted(found.wins, 'query', 'queries')} better, {found.ties:,} the same, {found.losses:,} worse; corrected "
        f"p {listed([p_text(p) for p in found.corrected.values()])}."
    )


def _bounds(gain: Interval) -> str:
    return f"{gain.low:.3f} to {gain.high:.3f}"


def _loss(gain: Interval) -> str:
    return f"{-gain.high:.3f} to {-gain.low:.3f} with 95 % confidence"


def _difference(each: Judged) -> str:
    return f"{signed(each.gain.mean)}, {signed(each.gain.low)} to {signed(each.gain.high)}"


def p_text(p: float) -> str:
    """Return a p as it is written."""
    return f"{p:.3f}" if p >= 0.001 else "below 0.001"
