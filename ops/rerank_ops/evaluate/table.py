"""An evaluation as text: what each system is worth and costs, then each difference to the baseline. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rerank_ops.evaluate.comparison import Comparison, Row
from rerank_ops.evaluate.evaluation import Evaluation
from rerank_ops.evaluate.scoring import ModelScores
from rerank_ops.judging.bootstrap import SAMPLES

#: Below this, a corrected p is marked.
_ALPHA = 0.05
_CORRECTIONS = {"holm": "Holm's method", "bh": "the method of Benjamini and Hochberg", "none": "no method"}
_TESTS = {"t": "paired t-test", "randomisation": "paired randomisation test", "wilcoxon": "Wilcoxon's signed-rank test"}

COMPUTED = (
    "~: computed. A cascade takes its first model's time, and of a later one's the share of tokens that it reads; "
    "pairs/s counts a candidate once."
)


def evaluation_text(evaluation: Evaluation) -> str:
    """Return both tables and what they rest on."""
    asked = evaluation.asked
    head = f"{asked.queries:,} queries of {asked.data}; the best {asked.k} documents of {asked.stage} are ranked"
    parts = [head, aligned(list(_worth(evaluation))), *_against(evaluation), "\n".join(_notes(evaluation))]
    return "\n\n".join(part for part in parts if part)


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Return rows of cells as lines: the first column to the left, the others to the right, two blanks between."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    texts = []
    for first, *others in lines:
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        texts.append("  ".join([first.ljust(widths[0]), *cells]).rstrip())
    return "\n".join(texts)


def _worth(evaluation: Evaluation) -> Iterator[list[str]]:
    measures = evaluation.asked.measures
    timed = any(each.again is not None for each in evaluation.models)
    speed = ["p50 ms", "p95 ms", "p99 ms", "pairs/s"] if timed else []
    cut = ["cut"] if evaluation.models else []
    yield ["system", *measures, *speed, *cut]
    for row in evaluation.rows:
        if row.kind == "again":
            continue
        cells = [f"{row.mean(measure):.4f}" for measure in measures]
        yield [row.name, *cells, *_costs(evaluation, row, timed=timed), *_cut(evaluation, row)]


def _costs(evaluation: Evaluation, row: Row, *, timed: bool) -> list[str]:
    if not timed:
        return []
    speed = evaluation.speed_of(row)
    if speed is None:
        return [""] * 4
    mark = "~" if speed.computed else ""
    values = [*(speed.latency_ms(percent) for percent in (50, 95, 99)), speed.pairs_per_s]
    return [f"{mark}{value:,.0f}" for value in values]


def _cut(evaluation: Evaluation, row: Row) -> list[str]:
    cut = evaluation.cut_of(row)
    if cut is None:
        return [""] if evaluation.models else []
    return [f"{cut:.1%}"]


def _against(evaluation: Evaluation) -> Iterator[str]:
    asked = evaluation.asked
    for measure in asked.measures:
        rows = [row for row in evaluation.rows if measure in row.comparisons]
        if all(row.kind == "again" or row.comparisons[measure].same for row in rows):
            continue
        head = [f"{measure} less {asked.baseline}", "delta", "95 % interval", *(f"p {name}" for name in asked.tests)]
        table = [[*head, "better", "same", "worse"]]
        table += [_difference(row, row.comparisons[measure], asked.tests) for row in rows]
        yield aligned(table)


def _difference(row: Row, each: Comparison, tests: Sequence[str]) -> list[str]:
    name = f"{row.name} (A/A, {len(row.queries)} queries)" if row.kind == "again" else row.name
    interval = f"{each.gain.low:+.4f} to {each.gain.high:+.4f}"
    counts = [f"{count:,}" for count in (each.wins, each.ties, each.losses)]
    return [name, f"{each.gain.mean:+.4f}", interval, *(_p(each.corrected[test]) for test in tests), *counts]


def _p(value: float) -> str:
    mark = "*" if value < _ALPHA else " "
    return f"{value:.4f}{mark}" if value >= 0.0001 else f"<.0001{mark}"


def _notes(evaluation: Evaluation) -> Iterator[str]:
    asked = evaluation.asked
    if any(row.comparisons for row in evaluation.rows):
        tests = " and ".join(_TESTS[name] for name in asked.tests)
        yield (
            f"p: {tests}, corrected by {_CORRECTIONS[asked.correction]} for the systems of a column; * below {_ALPHA}. "
            f"Intervals: {SAMPLES:,} bootstrap samples of queries."
        )
    if evaluation.models:
        yield "Fused orders take the model's time; cut: pairs of which text was cut to fit the model."
    if any(each.speed is not None for each in evaluation.cascades.values()):
        yield COMPUTED
    for scores in evaluation.models:
        yield from _of_model(scores, asked.max_length)
    if evaluation.oddities:
        yield "Odd about the data:"
        yield from (f"  {each}" for each in evaluation.oddities)


def _of_model(scores: ModelScores, max_length: int | None) -> Iterator[str]:
    model, again, speed = scores.model, scores.again, scores.speed
    told = f"{scores.name}: {model.precision}, {max_length or model.max_length} tokens at most"
    yield f"{told}, digest {str(model.digest)[:12]}; {scores.pairs:,} pairs, {scores.cached:,} of them from the cache."
    if again is not None and speed is not None:
        yield (
            f"  Timed: {len(again.latencies_ms)} queries again, one after the other, no score from the cache; "
            f"{again.processes} worker {'process' if again.processes == 1 else 'processes'}, asked from {again.host}."
        )
        yield f"  Largest difference of a logit to the first time: {scores.largest_difference():g}."
