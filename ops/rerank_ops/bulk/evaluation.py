"""Quality of a run before and after, by ir_measures, over the queries that have a relevant document.

The ceiling is the quality of a perfect order of what the first stage found: reranking can't give more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ir_measures import RR, R, nDCG

from rerank_ops.bulk.rankings import rankings
from rerank_ops.judging.bootstrap import Interval, paired_difference
from rerank_ops.judging.measures import perfect_order, values_by_question
from rerank_ops.judging.qrels import read_qrels
from rerank_ops.judging.randomisation import randomisation_p
from rerank_producer.bulk.formats.rows import Format
from rerank_shared.errors import InputRefused

MEASURES = (nDCG @ 10, RR @ 10, R @ 100)
_SEED = 0


@dataclass(frozen=True, slots=True)
class Compared:
    """A measure's means before and after, the most that a perfect order gives, and how sure the gain is."""

    measure: str
    before: float
    after: float
    ceiling: float
    gain: Interval
    p: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The measures over the judged queries of a run; `left_out` judged ones are not in its output."""

    queries: int
    left_out: int
    measures: tuple[Compared, ...]


def evaluated(form: Format, output: Path, qrels: Path) -> Evaluation:
    """Return the quality of a complete run.

    Raises InputRefused for a format that names no queries or documents, and where no query is judged;
    ConfigurationError for wrong judgements.
    """
    given = read_qrels(qrels)
    found = {each.query: each for each in rankings(form, output, given.keys())}
    if not found:
        raise InputRefused(f"{qrels} judges none of the queries in {output}")
    judged = {name: given[name] for name in found}
    before, after, best = (
        values_by_question(MEASURES, run, judged)
        for run in (
            {name: each.before for name, each in found.items()},
            {name: each.after for name, each in found.items()},
            {name: perfect_order(each.before, judged[name]) for name, each in found.items()},
        )
    )
    compared = tuple(_compared(str(each), before[each], after[each], best[each]) for each in MEASURES)
    return Evaluation(len(found), len(given) - len(found), compared)


def evaluation_text(evaluation: Evaluation) -> str:
    """Return a table, and what it rests on."""
    lines = [f"{'':8} {'before':>8} {'after':>8} {'ceiling':>8} {'gain':>8}   95 % interval       p"]
    for each in evaluation.measures:
        interval = f"{each.gain.low:+.4f} to {each.gain.high:+.4f}"
        lines.append(
            f"{each.measure:8} {each.before:8.4f} {each.after:8.4f} {each.ceiling:8.4f} {each.gain.mean:+8.4f}   "
            f"{interval:18} {each.p:.4f}"
        )
    left_out = f"; {evaluation.left_out:,} others are not in the output" if evaluation.left_out else ""
    lines.append(f"{evaluation.queries:,} judged queries{left_out}; p: paired randomisation test")
    return "\n".join(lines)


def as_plain(evaluation: Evaluation) -> dict[str, Any]:
    """Return it ready for JSON."""
    return asdict(evaluation)


_Values = Mapping[str, float]


def _compared(measure: str, before: _Values, after: _Values, best: _Values) -> Compared:
    names = sorted(before)
    one, other = (np.array([values[name] for name in names]) for values in (after, before))
    return Compared(
        measure=measure,
        before=float(other.mean()),
        after=float(one.mean()),
        ceiling=float(np.mean([best[name] for name in names])),
        gain=paired_difference(one, other, _SEED),
        p=randomisation_p(one - other, _SEED),
    )
