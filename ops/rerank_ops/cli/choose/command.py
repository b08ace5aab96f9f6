"""`rerank-fleet choose`: the best model, length, k and weight within a latency, confirmed on queries it did not see."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from rerank_ops.choose.configurations import LENGTHS, WEIGHTS, ks_of
from rerank_ops.cli.choose import options as wanted
from rerank_ops.cli.console import err, out
from rerank_ops.cli.evaluate import options as asked
from rerank_ops.cli.evaluate.command import UNREPEATABLE, refuse_data, refuse_unwritable, source_from
from rerank_ops.cli.extras import require_evaluation
from rerank_ops.cli.options import NOTHING_KEEPS_IT, AsJson, RedisUrl
from rerank_ops.cli.rank.rerank import Up
from rerank_shared.settings import load_settings

if TYPE_CHECKING:
    from rerank_ops.choose.choosing import Scored
    from rerank_ops.choose.load import Fleet
    from rerank_ops.choose.result import Choice
    from rerank_shared.settings import Settings


def choose(
    p95_ms: wanted.P95,
    data: asked.Data = None,
    queries: asked.Queries = None,
    corpus: asked.Corpus = None,
    qrels: asked.Qrels = None,
    limit: asked.Limit = None,
    first_stages: asked.FirstStages = None,
    models: asked.Models = None,
    max_lengths: wanted.MaxLengths = None,
    k: wanted.K = 100,
    k_grid: wanted.KGrid = None,
    fusion: asked.Method = "weighted",
    weights: wanted.Weights = None,
    timed: wanted.Timed = 20,
    processes: wanted.Processes = None,
    rate: wanted.Rate = None,
    margin: wanted.Margin = 0.01,
    measure: wanted.Measure = "nDCG@10",
    seed: asked.Seed = 0,
    chart: wanted.Chart = None,
    profile: wanted.WriteProfile = None,
    report: asked.Report = None,
    save_runs: asked.SaveRuns = None,
    reuse: asked.Reuse = False,
    as_json: AsJson = False,
    up: Up = False,
    url: RedisUrl = None,
) -> None:
    """Choose model, length, k and weight of the first stage for a latency, on judged queries.

    One half of the queries picks, the other confirms. Each model is measured once a length; k and weight are cut from
    that. The cache makes a second run free, apart from the queries that are timed.
    """
    refuse_data(data, queries, corpus, qrels)
    refuse_unwritable(save_runs and save_runs / "runs", "--save-runs")
    for path, option in ((report, "--report"), (chart, "--chart"), (profile, "--write-profile")):
        refuse_unwritable(path, option)
    how_fused = _weights(weights, fusion)
    ks = _ks(k, k_grid)
    if reuse and save_runs is None:
        raise typer.BadParameter("reads what --save-runs DIR left there: name it", param_hint="--reuse")
    stages = list(dict.fromkeys(first_stages or ["bm25"]))
    require_evaluation(bm25="bm25" in stages, report=report is not None)
    from rerank_ops.choose.choosing import Judgements, chosen
    from rerank_ops.choose.picking import halves_of
    from rerank_ops.choose.result import Asked, as_plain
    from rerank_ops.choose.spreading import one_by_one, over_cores
    from rerank_ops.choose.verdict import verdict
    from rerank_ops.cli.choose.measuring import Measuring
    from rerank_ops.cli.evaluate.preparing import prepared_shown
    from rerank_ops.cli.evaluate.reports import write_choice_report
    from rerank_ops.evaluate.comparison import measured, measures_of
    from rerank_ops.evaluate.oddities import Oddities

    settings = load_settings(redis_url=url)
    measures = measures_of([measure, "nDCG@10", "nDCG@5", "RR@10"])
    source, oddities = source_from(data, queries, corpus, qrels), Oddities()
    ready = prepared_shown(source, stages, [], k=k, limit=limit, oddities=oddities)
    # Before any model runs: whatever is refused, is refused now.
    halves_of(len(ready.labelled.queries), seed)
    stage = next(each for each in ready.systems if each.name == ready.stage.name)
    measured(stage, ready.labelled.qrels, measures)
    lengths = tuple(sorted(set(max_lengths or LENGTHS)))
    how = Measuring(source, ready, lengths, ks, timed, seed, save_runs, reuse, url, up)
    found = how.measured(models or [settings.model])
    _tell_beyond(max_lengths, found)
    fleet = _fleet(settings, found, processes, rate, seed)
    question = Asked(
        data=source.name,
        queries=len(ready.labelled.queries),
        stage=ready.stage.name,
        p95_ms=p95_ms,
        measure=str(measures[0]),
        measures=tuple(map(str, measures)),
        margin=margin,
        ks=ks,
        method=fusion,
        weights=how_fused,
        processes=fleet.processes,
        rate=rate,
        seed=seed,
    )
    with err.status("judging the configurations"):
        spread = one_by_one if rate is None else over_cores
        judgements = Judgements(ready.labelled, measures, stage)
        choice = chosen(question, found, judgements, fleet, oddities.listed(), spread)
    plain = as_plain(choice, list(verdict(choice)))
    if report is not None:
        write_choice_report(report, plain, ready, settings)
    _tell(choice, plain, settings, chart=chart, profile=profile, as_json=as_json)


def _weights(weights: Sequence[float] | None, method: str) -> tuple[float, ...]:
    """Return the weights to compare. Raises BadParameter for one that is no finite number."""
    if any(not math.isfinite(weight) for weight in weights or ()):
        raise typer.BadParameter("a finite number expected", param_hint="--fusion-weight")
    return (0.0,) if method == "none" else tuple(dict.fromkeys(weights or WEIGHTS))


def _ks(most: int, grid: Sequence[int] | None) -> tuple[int, ...]:
    if beyond := [k for k in grid or () if k > most]:
        raise typer.BadParameter(f"{beyond[0]} is beyond --k {most}, up to which is scored", param_hint="--k-grid")
    return ks_of(most, grid or ())


def _tell_beyond(lengths: Sequence[int] | None, found: Sequence[Scored]) -> None:
    """Tell of lengths that a model does not read."""
    for each in found:
        most = each.measured.lengths[-1]
        if beyond := [length for length in lengths or () if length > most]:
            err.print(f"note: {each.measured.name} reads {most} tokens at most, not {max(beyond)}", style="yellow")


def _fleet(settings: Settings, found: Sequence[Scored], processes: int | None, rate: float | None, seed: int) -> Fleet:
    from rerank_ops.choose.load import Fleet
    from rerank_ops.simulate.model.spec import FleetSpec

    times = found[0].measured.times
    spec = FleetSpec.of(settings, 1, times.cost)
    return Fleet(processes or times.processes, rate, spec, settings.default_deadline_ms / 1000, seed)


def _tell(
    choice: Choice,
    plain: Mapping[str, Any],
    settings: Settings,
    *,
    chart: Path | None,
    profile: Path | None,
    as_json: bool,
) -> None:
    """Print and write the choice. Exits with a status of its own where nothing keeps the limit, or a score differs."""
    from rerank_ops.choose.chart import chart_of
    from rerank_ops.choose.table import choice_text

    if as_json:
        print(json.dumps(plain, indent=1, ensure_ascii=False))
    else:
        out.print(choice_text(choice), soft_wrap=True)
    if chart is not None:
        chart.parent.mkdir(parents=True, exist_ok=True)
        chart.write_text(chart_of(plain), encoding="utf-8")
        err.print(f"written: {chart}")
    if profile is not None:
        _write_profile(profile, choice, settings)
    unequal = [each for each in choice.models if each.times.unequal]
    for each in unequal:
        err.print(
            f"error: {each.name}: a pair got another score the second time, by {each.times.unequal:g}. The fleet's "
            "hosts or models differ, or they changed meanwhile; trust no difference above",
            style="red",
        )
    if unequal:
        raise typer.Exit(UNREPEATABLE)
    if choice.picked is None:
        raise typer.Exit(NOTHING_KEEPS_IT)


def _write_profile(path: Path, choice: Choice, settings: Settings) -> None:
    from rerank_ops.cli.choose.profile import write_choice

    if choice.picked is None:
        err.print(f"note: nothing was picked, so that {path} is not written", style="yellow")
        return
    write_choice(path, choice, settings)
    err.print(f"written: {path}\nuse it:  export RERANK_PROFILE={path.resolve()}")
