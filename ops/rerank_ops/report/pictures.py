"""Charts of an evaluation's report, each with words that say the same. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import starmap

from rerank_ops.evaluate.comparison import measures_of
from rerank_ops.report.blocks import Chart, Notes
from rerank_ops.report.charts.plot import Level, Point, curves, front_of, trade_off
from rerank_ops.report.depth import Depth, by_depth, enough
from rerank_ops.report.evidence import Evidence
from rerank_ops.report.text import listed


def front(evidence: Evidence) -> Chart | Notes:
    """Return quality against the time of a query, or a note where no query was timed."""
    found, measure, numbers = evidence.evaluation, evidence.measure, evidence.numbers()
    points, levels = [], []
    for row in found.rows:
        if row.kind in ("again", "ceiling"):
            continue
        speed = found.speed_of(row)
        if speed is None and row.kind in ("first stage", "given"):
            levels.append(Level(f"{numbers[row.name]}. {row.name}", row.mean(measure)))
        elif speed is not None:
            p95_ms, value = speed.latency_ms(95), row.mean(measure)
            detail = f"{measure} {value:.4f}, {p95_ms:,.0f} ms{', computed' if speed.computed else ''}"
            points.append(Point(numbers[row.name], row.name, p95_ms, value, detail))
    if not points:
        why = "no model was asked" if not found.models else "no query was timed (--timed)"
        return Notes((f"There is no chart of quality against time: {why}.",))
    best = [f"{point.number}. {point.name}" for point in front_of(points)]
    words = (
        f"On the front, where nothing is both faster and better: {listed(best)}. Level lines are systems without a "
        "model, whose time was not measured."
    )
    if any(each.speed is not None for each in found.cascades.values()):
        words += " Times of cascades are computed."
    title = f"{measure} against the time of a query"
    return Chart(title, words, trade_off(points, levels, cost="P95 of a query, ms", value=measure))


def curve(evidence: Evidence, shown: str | None) -> Chart | Notes:
    """Return what lies within the first k, and how the system `shown` would do if it ranked those alone."""
    ready, measure = evidence.ready, evidence.measure
    (parsed,) = measures_of([measure])
    ranked = [evidence.systems[shown]] if shown is not None and evidence.row(shown).kind in ("model", "fused") else []
    found = by_depth(ready.stage, ready.labelled.qrels, parsed, ranked, ready.k)
    if len(found) < 2:
        return Notes((f"Only one candidate of a query is ranked, so that {measure} has no curve over k.",))
    names = {f"R@k of {ready.stage.name}": [(each.k, each.recall) for each in found]}
    names[f"{measure} of the perfect order of k"] = [(each.k, each.perfect) for each in found]
    for system in ranked:
        names[f"{measure} of {system.name}, ranking k"] = [(each.k, each.systems[system.name]) for each in found]
    plot = curves({name: list(starmap(_point, line)) for name, line in names.items()}, x_name="k", y_name="mean")
    return Chart("What lies within the first k", _words(found, evidence, shown if ranked else None), plot)


def _point(k: int, value: float) -> tuple[float, float]:
    return float(k), value


def _words(found: Sequence[Depth], evidence: Evidence, shown: str | None) -> str:
    last, measure, stage = found[-1], evidence.measure, evidence.ready.stage.name
    told = (
        f"The best {last.k} of {stage} hold {last.recall:.0%} of the relevant documents, so that no order of them "
        f"has more than {last.perfect:.3f} in {measure}."
    )
    if shown is None:
        return told
    kept = enough(found, shown)
    if kept == last.k:
        return f"{told} {shown} still gains from the last of them: try a larger k."
    return f"{told} {shown} keeps 99 % of its {measure} with the best {kept}: a smaller k costs less."
