"""`rerank-fleet evaluate`: what each system is worth on judged queries, what it costs, and what may be chance."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from rerank_ops.cli.console import err, out
from rerank_ops.cli.evaluate import options as asked
from rerank_ops.cli.extras import require_evaluation
from rerank_ops.cli.options import AsJson, RedisUrl
from rerank_ops.cli.rank.rerank import MaxLength, Up
from rerank_shared.settings import load_settings

if TYPE_CHECKING:
    from rerank_ops.evaluate.dataset import Source
    from rerank_ops.evaluate.evaluation import Evaluation

#: Exit status where a pair got another score the second time, so that no difference can be trusted.
UNREPEATABLE = 1


def evaluate(
    data: asked.Data = None,
    queries: asked.Queries = None,
    corpus: asked.Corpus = None,
    qrels: asked.Qrels = None,
    limit: asked.Limit = None,
    first_stages: asked.FirstStages = None,
    k: asked.K = 50,
    models: asked.Models = None,
    cascades: asked.Cascades = None,
    no_model: asked.NoModel = False,
    fusion: asked.Method = "weighted",
    weights: asked.Weights = None,
    runs: asked.Given = None,
    timed: asked.Timed = 20,
    max_length: MaxLength = None,
    measures: asked.Measures = None,
    baseline: asked.Baseline = None,
    tests: asked.Tests = None,
    correction: asked.CorrectionOption = asked.Correction.HOLM,
    seed: asked.Seed = 0,
    save_runs: asked.SaveRuns = None,
    reuse: asked.Reuse = False,
    report: asked.Report = None,
    as_json: AsJson = False,
    up: Up = False,
    url: RedisUrl = None,
) -> None:
    """Measure first stages, models and fused orders on judged queries, and their speed on the fleet.

    Only what the first stage found is ranked; the perfect order of it is the ceiling. The cache makes a second run
    free, apart from the queries that are timed.
    """
    refuse_data(data, queries, corpus, qrels)
    _refuse_systems(models or cascades, weights, save_runs, no_model=no_model, reuse=reuse)
    refuse_unwritable(save_runs and save_runs / "runs", "--save-runs")
    refuse_unwritable(report, "--report")
    stages = list(dict.fromkeys(first_stages or ["bm25"]))
    require_evaluation(bm25="bm25" in stages, report=report is not None)
    from rerank_ops.cli.evaluate.models import Scoring, row_names
    from rerank_ops.cli.evaluate.preparing import prepared_shown
    from rerank_ops.cli.evaluate.reports import write_report
    from rerank_ops.evaluate.cascades import cascade_of
    from rerank_ops.evaluate.comparison import measured, measures_of
    from rerank_ops.evaluate.evaluation import Asked, evaluated
    from rerank_ops.evaluate.oddities import Oddities
    from rerank_ops.evaluate.prepared import refuse_twice
    from rerank_ops.evaluate.saved import refuse_one_file, save_run
    from rerank_ops.evaluate.systems import again_name, names_of_rows, systems_of

    wanted = measures_of(measures or ["nDCG@10", "nDCG@5", "RR@10", f"R@{k}"])
    served = [] if no_model else models or [load_settings(redis_url=url).model]
    names = row_names(served)
    in_stages = list(dict.fromkeys(cascade_of(each, names, k) for each in cascades or []))
    source, oddities = source_from(data, queries, corpus, qrels), Oddities()
    ready = prepared_shown(source, stages, runs or [], k=k, limit=limit, oddities=oddities)
    how_fused = (ready.stage.name, fusion, list(dict.fromkeys(weights or [1.0])))
    rows = names_of_rows(ready.systems, [*names, *(each.name for each in in_stages)], *how_fused)
    every_row = [*rows, *map(again_name, names), ready.systems[-1].name]
    refuse_twice(every_row)
    if save_runs is not None:
        refuse_one_file(every_row)
    _refuse_baseline(baseline, rows)
    measured(ready.systems[0], ready.labelled.qrels, wanted)
    scores = Scoring(source, ready, max_length, timed, save_runs, reuse, url, up).scores(served)
    systems = systems_of(ready.systems, scores, *how_fused, in_stages)
    if save_runs is not None:
        for system in systems:
            save_run(save_runs, system)
    how = Asked(
        data=source.name,
        queries=len(ready.labelled.queries),
        k=k,
        stage=ready.stage.name,
        baseline=baseline or ready.stage.name,
        measures=tuple(map(str, wanted)),
        tests=tuple(dict.fromkeys(each.value for each in tests or (asked.Test.T, asked.Test.RANDOMISATION))),
        correction=correction.value,
        seed=seed,
        max_length=max_length,
    )
    found = evaluated(how, systems, ready.labelled.qrels, wanted, scores, oddities.listed())
    if report is not None:
        write_report(report, found, source, ready, systems, load_settings(redis_url=url))
    _print(found, as_json=as_json)


def refuse_unwritable(path: Path | None, option: str) -> None:
    """Raise BadParameter where a file can't be written, which would else be seen behind all measuring."""
    if path is None:
        return
    directory = next(each for each in path.absolute().parents if each.exists())
    try:
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise typer.BadParameter(
            f"nothing can be written to {directory}: {error.strerror}", param_hint=option
        ) from None


def _refuse_baseline(baseline: str | None, names: Sequence[str]) -> None:
    if baseline is not None and baseline not in names:
        raise typer.BadParameter(
            f"no system will be called {baseline!r}, but {', '.join(names)}", param_hint="--baseline"
        )


def _print(found: Evaluation, *, as_json: bool) -> None:
    from rerank_ops.evaluate.evaluation import as_plain
    from rerank_ops.evaluate.table import evaluation_text

    if as_json:
        print(json.dumps(as_plain(found), indent=1, ensure_ascii=False))
    else:
        out.print(evaluation_text(found), soft_wrap=True)
    for each in found.unrepeatable():
        err.print(
            f"error: {each.name}: a pair got another score the second time, by {each.largest_difference():g}. The "
            "fleet's hosts or models differ, or they changed meanwhile; trust no difference above",
            style="red",
        )
    if found.unrepeatable():
        raise typer.Exit(UNREPEATABLE)


def source_from(data: str | None, queries: Path | None, corpus: Path | None, qrels: Path | None) -> Source:
    """Return the source of data that the options name, as `refuse_data` lets them pass. Raises as `source_of` does."""
    from rerank_ops.evaluate.sources import Files, source_of

    if data is None:
        assert queries is not None
        assert corpus is not None
        assert qrels is not None
        return Files(queries.name, queries, corpus, qrels)
    return source_of(data, qrels)


def refuse_data(data: str | None, queries: Path | None, corpus: Path | None, qrels: Path | None) -> None:
    """Raise BadParameter unless one source of data is given."""
    if data is None and None in (queries, corpus, qrels):
        raise typer.BadParameter("give a directory, ir_datasets:ID, or all of --queries, --corpus and --qrels")
    if data is not None and (queries or corpus or (qrels and data.startswith("ir_datasets:"))):
        raise typer.BadParameter("has its own; --qrels alone goes with a directory", param_hint="DATA")


def _refuse_systems(
    models: Sequence[str] | None,
    weights: Sequence[float] | None,
    save_runs: Path | None,
    *,
    no_model: bool,
    reuse: bool,
) -> None:
    """Raise BadParameter for options that do not go together, and for a weight that is no number."""
    if any(math.isnan(weight) for weight in weights or ()):
        raise typer.BadParameter("a number expected", param_hint="--fusion-weight")
    if reuse and save_runs is None:
        raise typer.BadParameter("reads what --save-runs DIR left there: name it", param_hint="--reuse")
    if no_model and (models or reuse):
        raise typer.BadParameter("goes with none of --model, --cascade and --reuse", param_hint="--no-model")
