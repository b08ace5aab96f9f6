"""A choice as text: front, curves, what was picked and what confirms it, and what all of it rests on. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rerank_ops.choose.configurations import weight_text
from rerank_ops.choose.curves import Curve
from rerank_ops.choose.load import REQUESTS
from rerank_ops.choose.result import Choice, Measured, Option
from rerank_ops.choose.verdict import count, verdict
from rerank_ops.evaluate.table import aligned
from rerank_ops.judging.bootstrap import SAMPLES
from rerank_ops.simulate.trial import TOLERATED

_ORIGINS = {"measured": "", "interpolated": "~", "planned": "≈"}


def choice_text(choice: Choice) -> str:
    """Return everything, the verdict last: it is what stays on the screen."""
    asked = choice.asked
    load = "one request at a time" if asked.rate is None else f"{asked.rate:g} requests/s"
    head = (
        f"{asked.queries:,} queries of {asked.data}, the best {asked.ks[-1]} documents of {asked.stage}; "
        f"{len(choice.options):,} configurations; p95 within {asked.p95_ms:,.0f} ms on "
        f"{count(asked.processes, 'process', 'processes')}, {load}"
    )
    tables = [aligned(list(_front(choice))), aligned(list(_by_k(choice)))]
    if len(choice.length_curve.points) > 1:
        tables.append(aligned(list(_by_length(choice))))
    if choice.picked is not None:
        tables.append(aligned(list(_halves(choice))))
    return "\n\n".join([head, *tables, "\n".join(_rests_on(choice)), "\n".join(verdict(choice))])


def _front(choice: Choice) -> Iterator[list[str]]:
    asked = choice.asked
    yield ["front of quality and time", "tokens", "k", "weight", *asked.measures, "p95 ms", "processes", "limit", ""]
    means = [f"{values.mean():.4f}" for values in choice.stage.values()]
    yield [f"{asked.stage} alone", "", "", "", *means, "", "", "", ""]
    shown = choice.front
    picked = None if choice.picked is None else choice.option(choice.picked.configuration)
    if picked is not None and not picked.on_front:
        shown = sorted([*shown, picked], key=lambda each: each.latency.p95_ms)
    for each in shown:
        yield _row(each, asked.measures, "picked" if each is picked else "")


def _row(option: Option, measures: Sequence[str], mark: str) -> list[str]:
    each, latency = option.configuration, option.latency
    needed = "" if not option.planned else "none" if option.processes is None else f"{option.processes:,}"
    missed = f" ({latency.missed:.1%} missed)" if latency.missed > TOLERATED else ""
    return [
        each.model,
        str(each.max_length),
        str(each.k),
        weight_text(each.weight),
        *(f"{option.mean(measure):.4f}" for measure in measures),
        f"{_ORIGINS[latency.origin]}{latency.p95_ms:,.0f}{missed}",
        needed,
        "kept" if option.keeps else "",
        mark,
    ]


def _by_k(choice: Choice) -> Iterator[list[str]]:
    asked, curve = choice.asked, choice.recall_curve
    yield ["k", f"relevant found by {asked.stage}", asked.measure, f"less k {asked.ks[-1]}", "95 % interval", ""]
    for point, tail in zip(curve.points, _tails(curve), strict=True):
        yield [str(point.at), f"{point.recall or 0.0:.4f}", *tail]


def _by_length(choice: Choice) -> Iterator[list[str]]:
    asked, curve = choice.asked, choice.length_curve
    truncated = choice.model(choice.shown.model).truncated
    yield ["tokens", "pairs cut", asked.measure, f"less {curve.points[-1].at}", "95 % interval", ""]
    for point, tail in zip(curve.points, _tails(curve), strict=True):
        yield [str(point.at), f"{truncated[point.at]:.1%}", *tail]


def _tails(curve: Curve) -> Iterator[list[str]]:
    for point in curve.points:
        gain = point.gain
        last = point is curve.points[-1]
        bounds = "" if last else f"{gain.low:+.4f} to {gain.high:+.4f}"
        difference = "" if last else f"{gain.mean:+.4f}"
        yield [f"{point.mean:.4f}", difference, bounds, "enough" if point.at == curve.enough else ""]


def _halves(choice: Choice) -> Iterator[list[str]]:
    picked, confirmed, measure = choice.picked, choice.confirmed, choice.asked.measure
    assert picked is not None
    assert confirmed is not None
    yield [measure, "queries", "picked", "95 % interval", choice.asked.stage, "difference", "95 % interval"]
    for half, each, gain in (
        ("the half that picked", picked, picked.over_stage),
        ("the half that confirms", confirmed, confirmed.over_stage.gain),
    ):
        yield [
            half,
            f"{each.queries:,}",
            f"{each.figure.mean:.4f}",
            f"{each.figure.low:.4f} to {each.figure.high:.4f}",
            f"{each.stage.mean:.4f}",
            f"{gain.mean:+.4f}",
            f"{gain.low:+.4f} to {gain.high:+.4f}",
        ]


def _rests_on(choice: Choice) -> Iterator[str]:
    asked = choice.asked
    yield (
        f"Curves: {choice.shown.name}, all queries. Enough: from there on the 95 % interval of the loss is below "
        f"{asked.margin:g} {asked.measure}. Intervals: {SAMPLES:,} bootstrap samples of queries."
    )
    yield _of_times(choice)
    for model in choice.models:
        yield from _of_model(model)
    yield from (f"note: {each}" for each in choice.notes)
    if choice.oddities:
        yield "Odd about the data:"
        yield from (f"  {each}" for each in choice.oddities)


def _of_times(choice: Choice) -> str:
    asked = choice.asked
    origins = {each.latency.origin for each in choice.options}
    if origins == {"planned"}:
        how = f"simulated {REQUESTS:,} requests" if asked.rate is not None else "computed for that many processes"
        told = f"Times: ≈ {how}, from what was timed here."
    else:
        told = "Times: measured" + (", ~ on the line between two k that were" if "interpolated" in origins else "")
        told += ", ≈ computed for that many processes." if "planned" in origins else "."
    return f"{told} Processes: how many would keep the limit, by the planner."


def _of_model(model: Measured) -> Iterator[str]:
    info, times = model.info, model.times
    yield (
        f"{model.name}: {info.precision}, digest {str(info.digest)[:12]}; {model.scored:,} of {model.pairs:,} pairs of "
        f"{count(len(model.lengths), 'length', 'lengths')} asked for, {model.cached:,} of them from the cache."
    )
    yield (
        f"  Timed: {times.asked:,} requests, one after the other, no score from the cache; "
        f"{count(times.processes, 'worker process', 'worker processes')}, asked from {times.host}."
    )
    yield f"  Largest difference of a logit to the first time: {times.unequal:g}."
