"""Run of a tuning, from settings to the result; it writes no file."""

from __future__ import annotations

import platform
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import onnxruntime

from rerank_ops.tune.engines import Engines, layouts_of
from rerank_ops.tune.grid import CURVES, SETTING, Cell, Grid, Layouts, lay_out, tokens_of
from rerank_ops.tune.policy import choose, default
from rerank_ops.tune.result import Tuning
from rerank_ops.tune.rounds import Series, Timing, measure
from rerank_ops.tune.sample import Sample
from rerank_ops.tune.team import measure_teams, teams_for
from rerank_shared.models.catalogue import ModelFiles, configured_files
from rerank_shared.models.cpu import cpu_name
from rerank_shared.models.exported import check_template
from rerank_shared.models.precision import PrecisionName
from rerank_shared.settings import Settings
from rerank_worker.engine import PackedWeights, PreparedKernel, identity_of, kernel_for, run_precision
from rerank_worker.engine.providers import ON_CPU
from rerank_worker.supervisor.cores import available_cores
from rerank_worker.tokenizing import PairTokenizer

#: Share of the time for the curves, and the share of that for a first round; the rest of the time is for teams.
_CURVES_SHARE, _FIRST_ROUND_SHARE = 0.75, 0.33
_TEAM_ROUNDS = 5
_LEAST_TURN_S = 0.05
#: Pairs measured at the start, to estimate the work that fits the time.
_PROBE = 8

#: Returns the sample for a tokenizer and a longest pair, in tokens.
MakeSample = Callable[[PairTokenizer, int], Sample]
#: Called with the seconds that have passed, after each measurement.
Progress = Callable[[float], None]


def tune(settings: Settings, make_sample: MakeSample, seconds: float, progress: Progress = lambda _: None) -> Tuning:
    """Measure the model of the settings on this host for about `seconds` and choose a profile.

    Loading the model and the text comes on top. A model too slow for the time takes as long as the narrowest grid.
    Raises ConfigurationError as a worker does, and as `make_sample` does.
    """
    files = configured_files(settings)
    tokenizer = PairTokenizer.of(files)
    check_template(files.manifest, str(tokenizer.template), unsafe=settings.unsafe)
    kernel = kernel_for(settings, files, ON_CPU, PackedWeights.of(settings, files.model_digest))
    max_length = identity_of(files, tokenizer, settings.layout, settings.max_length).max_length
    sample = make_sample(tokenizer, max_length)
    layouts = layouts_of(files, kernel)
    precision = run_precision(files, kernel)
    cores = len(available_cores())
    started = time.perf_counter()

    def tick() -> None:
        progress(time.perf_counter() - started)

    curves_s = seconds * (_CURVES_SHARE if len(teams_for(cores)) > 1 else 1.0)
    grid, series = _measure_curves(files, layouts, sample, curves_s, tick, kernel)
    chosen = choose(series, [], precision=precision, max_length=max_length, cores=cores)
    turn_s = max(_LEAST_TURN_S, (seconds - curves_s) / (_TEAM_ROUNDS * len(teams_for(cores))))
    as_chosen = settings.model_copy(update=dict(chosen.values))
    teams = measure_teams(as_chosen, sample.pairs, turn_s, _TEAM_ROUNDS, tick) if cores > 1 else []
    return Tuning(
        series=series,
        teams=teams,
        choice=choose(series, teams, precision=precision, max_length=max_length, cores=cores),
        request_pairs=grid.request_pairs,
        source=sample.source,
        made_for=_made_for(files, precision, cores, sample),
    )


def _measure_curves(
    files: ModelFiles,
    layouts: Layouts,
    sample: Sample,
    seconds: float,
    tick: Callable[[], None],
    kernel: PreparedKernel | None,
) -> tuple[Grid, list[Series]]:
    """Return the grid and its measurements; the engines are closed on return, before processes are started."""
    started = time.perf_counter()
    engines = Engines(files, layouts, sample.pairs[-1], kernel)
    probe = sample.take(_PROBE)
    rate = tokens_of(probe) / engines.seconds(Cell("pairs", layouts.names[0], 1), probe)
    grid = lay_out(layouts, sample, rate, seconds * _FIRST_ROUND_SHARE)
    timing = Timing(
        time_cell=lambda cell: engines.seconds(cell, grid.work[cell]),
        clock=time.perf_counter,
        end=started + seconds,
        on_cell=tick,
    )
    usual = [Cell(curve, layout, default(SETTING[curve])) for curve in CURVES for layout in layouts.names]
    return grid, measure(grid, timing, usual, keep=[cell for cell in usual if cell.layout == default("layout")])


def _made_for(files: ModelFiles, precision: PrecisionName, cores: int, sample: Sample) -> dict[str, Any]:
    return {
        "made_at": datetime.now(UTC),
        "host": socket.gethostname(),
        "cpu": cpu_name(),
        "cores": cores,
        "model": files.name,
        "model_digest": files.model_digest,
        "precision": precision,
        "text": sample.source,
        "mean_tokens": round(sample.mean_tokens, 1),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("rerank-fleet", "numpy", "tokenizers")},
            "onnxruntime": onnxruntime.__version__,
        },
    }
