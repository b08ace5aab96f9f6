"""What `rerank-fleet fusion tune` found, as a table, a verdict and settings, or as plain data for JSON."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from rerank_ops.fusion.labelled import LabelledSet
from rerank_ops.fusion.tuning import FEWEST_QUERIES, Chosen, Tuning
from rerank_ops.judging.bootstrap import SAMPLES, Interval
from rerank_ops.judging.measures import Quality
from rerank_shared.keys import FirstStageOrder

_OVERALL = "best of all"


def print_tuning(tuning: Tuning, labelled: LabelledSet, model: str, console: Console) -> None:
    """Print what was found for people."""
    console.print(f"{tuning.queries:,} queries of {labelled.name}, by {model}; {tuning.folds} folds\n", soft_wrap=True)
    console.print(_table(tuning))
    console.print(
        "\nMeans of the methods are held out: the weight for a query was chosen on other queries. Gains are in "
        f"nDCG@10, with the interval of 95 % of {SAMPLES:,} bootstrap samples.\n",
        style="dim",
    )
    console.print(verdict_text(tuning))
    console.print()
    for name, value in settings_to_use(tuning).items():
        console.print(f"  export {name}={value}", soft_wrap=True)
    for line in _of_requests(tuning, order_of(labelled)):
        console.print(f"  {line}", soft_wrap=True)


def as_plain(tuning: Tuning, labelled: LabelledSet, model: str) -> dict[str, Any]:
    """Return what was found, ready for JSON, where an infinite weight is the text "inf"."""
    return {
        "set": labelled.name,
        "model": model,
        "queries": tuning.queries,
        "unjudged": labelled.unjudged,
        "folds": tuning.folds,
        "seed": tuning.seed,
        "model_alone": asdict(tuning.model),
        "first_stage_alone": asdict(tuning.first_stage),
        "methods": {name: _plain(chosen) for name, chosen in tuning.methods.items()},
        "overall": _plain(tuning.overall),
        "verdict": tuning.verdict,
        "explanation": verdict_text(tuning),
        "settings": settings_to_use(tuning),
        "fusion_ratio": tuning.ratio,
        "first_stage_order": order_of(labelled),
    }


def verdict_text(tuning: Tuning) -> str:
    """Return what this means for these queries, in one or two sentences."""
    gain = f"{_difference(tuning.gain.mean)} nDCG@10 over the {_better(tuning)} alone (95 %: {_bounds(tuning.gain)})"
    if tuning.verdict == "helps":
        return f"Fusion helps here: {gain}."
    if tuning.verdict == "undecided":
        few = f", and fewer than {FEWEST_QUERIES} queries tell little" if tuning.queries < FEWEST_QUERIES else ""
        return f"Too small a set to tell whether fusion helps: {gain}{few}. Judge more queries before you rely on it."
    if tuning.verdict == "model alone":
        return f"Fusion does not help here: the model alone orders these queries best. Held out, fusion gave {gain}."
    return (
        f"Neither fusion nor this model helps here: the first stage alone orders these queries best. Held out, fusion "
        f"gave {gain}. Leave its order as it is, or try another model."
    )


def settings_to_use(tuning: Tuning) -> dict[str, str]:
    """Return the variables that bring what was found into force."""
    if tuning.verdict in ("model alone", "first stage alone") or tuning.gain.mean <= 0:
        return {"RERANK_FUSION": "none"}
    best = tuning.overall.best
    return {"RERANK_FUSION": best.method, "RERANK_FUSION_WEIGHT": f"{best.weight:g}"}


def order_of(labelled: LabelledSet) -> FirstStageOrder:
    """Return the order of the first stage's scores."""
    return labelled.queries[0].order


def _of_requests(tuning: Tuning, order: FirstStageOrder) -> list[str]:
    method = settings_to_use(tuning)["RERANK_FUSION"]
    if method == "none":
        return []
    lines = [] if order == "descending" else ["first_stage_order=ascending in each request: smaller scores are better"]
    if method == "weighted" and tuning.ratio is not None:
        lines.append(
            f"fusion_ratio={tuning.ratio:.6g} in a request reproduces these orders; without it, the ratio is learned"
        )
    return lines


def _table(tuning: Tuning) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("", no_wrap=True)
    table.add_column("nDCG@10", justify="right", no_wrap=True)
    table.add_column("RR@10", justify="right", no_wrap=True)
    for name in ("over the model", "over the first stage", "weights of the folds"):
        table.add_column(name)
    table.add_row("first stage", *_quality(tuning.first_stage))
    table.add_row("model", *_quality(tuning.model))
    for name, chosen in [*tuning.methods.items(), (_OVERALL, tuning.overall)]:
        table.add_row(
            name,
            *_quality(chosen.quality),
            _interval(chosen.over_model),
            _interval(chosen.over_first_stage),
            _counts(chosen, with_method=name == _OVERALL),
        )
    return table


def _counts(chosen: Chosen, *, with_method: bool) -> str:
    """Return how many folds chose each weight, the most frequent first."""
    counts = Counter(
        f"{variant.method} {variant.weight:g}" if with_method else f"{variant.weight:g}" for variant in chosen.chosen
    )
    return ", ".join(f"{name} ({count})" for name, count in counts.most_common())


def _quality(quality: Quality) -> tuple[str, str]:
    return f"{quality.ndcg_at_10:.4f}", f"{quality.mrr_at_10:.4f}"


def _interval(interval: Interval) -> str:
    return f"{_difference(interval.mean)} ({_bounds(interval)})"


def _bounds(interval: Interval) -> str:
    return f"{_difference(interval.low)} to {_difference(interval.high)}"


def _difference(value: float) -> str:
    return f"{value:+.3f}"


def _better(tuning: Tuning) -> str:
    return "model" if tuning.model_is_better else "first stage"


def _plain(chosen: Chosen) -> dict[str, Any]:
    return {
        **asdict(chosen.quality),
        "method": chosen.best.method,
        "weight": _weight(chosen.best.weight),
        "folds": [{"method": variant.method, "weight": _weight(variant.weight)} for variant in chosen.chosen],
        "over_model": asdict(chosen.over_model),
        "over_first_stage": asdict(chosen.over_first_stage),
    }


def _weight(weight: float) -> float | str:
    return "inf" if math.isinf(weight) else weight
