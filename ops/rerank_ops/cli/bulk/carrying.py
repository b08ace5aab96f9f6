"""Carries a run of the command line out, or foretells it: with progress, report, metadata and evaluation."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from rerank_ops.cli.bulk.durations import duration
from rerank_ops.cli.bulk.exits import COMPLETE, VALIDATION
from rerank_ops.cli.bulk.progress import shown
from rerank_ops.cli.bulk.report import status_after, summary_plain, summary_text
from rerank_ops.cli.console import err, out
from rerank_ops.cli.extras import require_evaluation
from rerank_ops.signals import run_stoppable
from rerank_producer.bulk.bulk_run import Summary
from rerank_producer.bulk.bulk_run import carry_out as carried_out
from rerank_producer.bulk.dry_run import Forecast, dry_run
from rerank_producer.bulk.opening import BulkOptions, spec_of
from rerank_producer.bulk.progress import Progress
from rerank_producer.bulk.spec import BulkSpec
from rerank_shared.settings import Settings


def carry_out(
    source: str,
    output: str,
    settings: Settings,
    options: BulkOptions,
    *,
    metadata: bool,
    qrels: Path | None,
    as_json: bool,
) -> int:
    """Carry the run out and report on it; return the exit status. Raises what bulk.run raises."""
    if qrels is not None:
        require_evaluation(bm25=False)
    progress, started = Progress(), time.monotonic()
    with _ended_by_sigterm(), shown(progress, err) as tell:
        spec = _spec(source, output, settings, options, progress)
        summary = run_stoppable(carried_out(spec, settings=settings, tell=tell, progress=progress))
    seconds = time.monotonic() - started
    if metadata:
        _write_metadata(spec, summary, settings, seconds)
    plain = summary_plain(summary, seconds, progress.asked.retries, spec.output, spec.failed_path)
    if qrels is not None and spec.output is not None:
        from rerank_ops.bulk.evaluation import as_plain, evaluated, evaluation_text

        quality = evaluated(spec.format, spec.output, qrels)
        plain["quality"] = as_plain(quality)
        err.print(evaluation_text(quality))
    err.print(summary_text(summary, seconds, spec.output, spec.failed_path))
    if as_json:
        # Where the rows went to standard output, it holds nothing else.
        print(json.dumps(plain)) if spec.output is not None else err.print(json.dumps(plain), soft_wrap=True)
    return status_after(summary)


def foretell(source: str, output: str, settings: Settings, options: BulkOptions, *, as_json: bool) -> int:
    """Check all rows and print what the run would do; return the exit status. Raises what `dry_run` raises."""
    progress = Progress()
    with shown(progress, err):
        spec = _spec(source, output, settings, options, progress)
        progress.stage = "checking the rows"
        forecast = dry_run(spec, settings=settings)
    for reason in forecast.reasons:
        err.print(reason)
    if len(forecast.reasons) < forecast.failed_queries:
        err.print(f"and {forecast.failed_queries - len(forecast.reasons):,} more")
    if as_json:
        print(json.dumps(_plain(forecast)))
    else:
        out.print(_forecast_text(forecast), soft_wrap=True)
    return VALIDATION if forecast.failed_queries else COMPLETE


def _spec(source: str, output: str, settings: Settings, options: BulkOptions, progress: Progress) -> BulkSpec:
    """Return the run, with BM25's candidates for a collection that has none."""
    directory = Path(source)
    if directory.is_dir() and options["format"] in (None, "beir") and options["run"] is None:
        require_evaluation(bm25=True)
        from rerank_ops.bulk.first_stage import DEPTH, bm25_run

        progress.stage = "finding candidates by BM25"
        options = {**options, "run": bm25_run(directory, options["depth"] or DEPTH, options["index"])}

    def heard(records: int) -> None:
        progress.stage = f"reading texts: {records:,} so far"

    progress.stage = "opening the input"
    return spec_of(source, output, settings, options, heard)


def _forecast_text(forecast: Forecast) -> str:
    counts = f"{forecast.queries:,} rows, {forecast.failed_queries:,} of them can't be asked; {forecast.pairs:,} pairs"
    speed = forecast.speed
    if forecast.seconds is None:
        time_text = "the time can't be told: no worker has measured its speed yet"
    elif speed.processes == 0:
        time_text = f"{duration(forecast.seconds)} for one process; none is alive now"
    else:
        noun = "process" if speed.processes == 1 else "processes"
        time_text = f"{duration(forecast.seconds)} for {speed.processes} {noun}, if no score is cached"
    return f"{counts}, some {forecast.tokens:,} tokens; {time_text}"


def _plain(forecast: Forecast) -> dict[str, object]:
    return {
        "rows": forecast.queries,
        "failed_rows": forecast.failed_queries,
        "reasons": forecast.reasons,
        "pairs": forecast.pairs,
        "tokens": forecast.tokens,
        "processes": forecast.speed.processes,
        "seconds": forecast.seconds,
    }


def _write_metadata(spec: BulkSpec, summary: Summary, settings: Settings, seconds: float) -> None:
    from rerank_ops.bulk.metadata import write_metadata

    assert spec.output is not None
    write_metadata(spec.output, spec, summary, settings, seconds)


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end the block as Ctrl-C does, with its own exit status."""

    def end(signum: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + signum)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
