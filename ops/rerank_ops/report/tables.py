"""Tables of an evaluation's report: what each system is worth and costs, and how it differs from the baseline. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rerank_ops.evaluate.comparison import Comparison, Row
from rerank_ops.evaluate.evaluation import Evaluation
from rerank_ops.evaluate.table import COMPUTED
from rerank_ops.judging.bootstrap import SAMPLES
from rerank_ops.report.blocks import Cell, Mark, Table
from rerank_ops.report.charts.span import spans_of
from rerank_ops.report.evidence import Evidence
from rerank_ops.report.text import listed, signed
from rerank_ops.report.verdict import ALPHA, Judged, p_text

_SHORT = {"t": "t-test", "randomisation": "randomisation", "wilcoxon": "Wilcoxon"}
TESTS = {"t": "paired t-test", "randomisation": "paired randomisation test", "wilcoxon": "Wilcoxon’s signed-rank test"}
CORRECTIONS = {"holm": "Holm’s method", "bh": "the method of Benjamini and Hochberg", "none": "no method"}


def worth(evidence: Evidence) -> Table:
    """Return the systems with their means, times and cut pairs; the best mean of a column is marked."""
    found, numbers = evidence.evaluation, evidence.numbers()
    asked = found.asked
    timed = any(each.speed is not None for each in found.models)
    speed = ("P50, ms", "P95, ms", "P99, ms", "pairs/s") if timed else ()
    rows = [row for row in found.rows if row.kind != "again"]
    ranked = [row for row in rows if row.kind != "ceiling"]
    lines = []
    for row in rows:
        means = [_mean(row, measure, [each.mean(measure) for each in ranked]) for measure in asked.measures]
        name = f"{numbers[row.name]}. {row.name}" if row.name in numbers else row.name
        mark: Mark = "soft" if row.kind == "ceiling" else ""
        lines.append((Cell(name, mark), *means, *_times(found, row, timed=timed), *_cut(found, row)))
    remarks = []
    if found.models:
        remarks.append("Fused orders take the model’s time. Cut: pairs of which text was cut to fit the model.")
    if any(each.speed is not None for each in found.cascades.values()):
        remarks.append(COMPUTED.replace("'", "’"))
    if not timed and found.models:
        remarks.append("No query was timed.")
    return Table(
        f"What each system is worth{', and what it costs' if timed else ''}",
        ("System", *asked.measures, *speed, *(("cut",) if found.models else ())),
        tuple(lines),
        tuple(remarks),
    )


def differences(evidence: Evidence) -> Iterator[Table]:
    """Yield a table of differences to the baseline for each measure in which any query differs."""
    asked, numbers = evidence.evaluation.asked, evidence.numbers()
    for measure in asked.measures:
        rows = [row for row in evidence.evaluation.rows if measure in row.comparisons]
        if all(row.kind == "again" or row.comparisons[measure].same for row in rows):
            continue
        spans = spans_of([row.comparisons[measure].gain for row in rows])
        lines = [
            (Cell(_name(row, numbers)), *_difference(Judged(row.name, row.comparisons[measure])), Cell("", span=span))
            for row, span in zip(rows, spans, strict=True)
        ]
        cells = tuple((line[0], line[1], line[-1], *line[2:-1]) for line in lines)
        head = ("System", "difference", "", "95 % interval", *(f"p, {_SHORT[test]}" for test in asked.tests))
        yield Table(f"{measure} less {asked.baseline}", (*head, "better", "same", "worse"), cells)


def how_tested(evaluation: Evaluation) -> str:
    """Return how intervals and p were made."""
    asked = evaluation.asked
    return (
        f"Intervals come from {SAMPLES:,} bootstrap samples of the queries. p: {_tests(asked.tests)}, "
        f"corrected by {CORRECTIONS[asked.correction]} for the number of systems; those below {ALPHA} are bold."
    )


def _tests(names: Sequence[str]) -> str:
    return listed([TESTS[name] for name in names])


def _mean(row: Row, measure: str, ranked: Sequence[float]) -> Cell:
    value = row.mean(measure)
    best = value == max(ranked) > min(ranked)
    mark: Mark = "soft" if row.kind == "ceiling" else "best" if best else ""
    return Cell(f"{value:.4f}", mark)


def _times(found: Evaluation, row: Row, *, timed: bool) -> list[Cell]:
    if not timed:
        return []
    speed = found.speed_of(row)
    if speed is None:
        return [Cell("")] * 4
    mark = "~" if speed.computed else ""
    values = [*(speed.latency_ms(percent) for percent in (50, 95, 99)), speed.pairs_per_s]
    return [Cell(f"{mark}{value:,.0f}") for value in values]


def _cut(found: Evaluation, row: Row) -> list[Cell]:
    if not found.models:
        return []
    cut = found.cut_of(row)
    return [Cell("" if cut is None else f"{cut:.1%}")]


def _name(row: Row, numbers: dict[str, str]) -> str:
    if row.kind == "again":
        return f"{row.name} (A/A, {len(row.queries):,} queries, less {next(iter(row.comparisons.values())).against})"
    return f"{numbers[row.name]}. {row.name}"


def _difference(each: Judged) -> list[Cell]:
    mark: Mark = "up" if each.better else "down" if each.worse else ""
    found: Comparison = each.found
    return [
        Cell(signed(each.gain.mean, 4), mark),
        Cell(f"{signed(each.gain.low, 4)} to {signed(each.gain.high, 4)}"),
        *(Cell(p_text(p), "best" if p < ALPHA else "") for p in found.corrected.values()),
        *(Cell(f"{count:,}") for count in (found.wins, found.ties, found.losses)),
    ]
