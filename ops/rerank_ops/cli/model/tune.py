"""`rerank-fleet tune`: measures one model on this host and writes the best settings as a profile, with its curves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from rerank_ops.cli.console import err, out
from rerank_ops.cli.extras import require_worker
from rerank_ops.cli.options import AsJson, Unsafe
from rerank_shared.errors import InvalidRequest
from rerank_shared.settings import load_settings

if TYPE_CHECKING:
    from rerank_ops.tune.result import Tuning
    from rerank_ops.tune.run import MakeSample

Model = Annotated[
    str | None, typer.Option("--model", metavar="MODEL", help="Model to measure, instead of RERANK_MODEL.")
]
TextFile = Annotated[
    Path | None,
    typer.Option(
        "--text", metavar="FILE", help="File of your requests: on each line a JSON object with query and documents."
    ),
]
Beir = Annotated[
    Path | None,
    typer.Option("--beir", metavar="DIR", help="Collection (BEIR layout) to take text from, candidates by BM25."),
]
Seconds = Annotated[float, typer.Option("--seconds", metavar="S", min=0.1, help="Total time to measure.")]
Output = Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="File to write the profile to.")]
ChartFile = Annotated[
    Path | None, typer.Option("--chart", metavar="PNG", help="File to draw the curves into. Unset: beside the profile.")
]
NoChart = Annotated[bool, typer.Option("--no-chart", help="Draw no curves; drawing needs matplotlib.")]


def tune(
    model: Model = None,
    text: TextFile = None,
    beir: Beir = None,
    seconds: Seconds = 60.0,
    output: Output = Path("rerank-profile.toml"),
    chart: ChartFile = None,
    no_chart: NoChart = False,
    as_json: AsJson = False,
    unsafe: Unsafe = False,
) -> None:
    """Measure one model on this host and write the best settings to a profile, for RERANK_PROFILE.

    Each layout of the model is measured over pairs a run and tokens a run, then threads against processes. --text or
    --beir gives the text; unset, it is text of common lengths. Nothing else should run on the host meanwhile.
    """
    if text is not None and beir is not None:
        raise InvalidRequest("--text and --beir are two sources of text: give one")
    require_worker()
    from rerank_ops.tune.chart import draw_chart, require_matplotlib
    from rerank_ops.tune.profile_file import write_profile

    if not no_chart:
        require_matplotlib()
    tuning = _measure(model, _sampler(text, beir), seconds, unsafe=unsafe)
    write_profile(output, tuning.choice, tuning.made_for)
    written = [output]
    if not no_chart:
        written.append(chart or output.with_suffix(".png"))
        draw_chart(tuning, written[-1])
    _tell(tuning, written, as_json=as_json)


def _sampler(text: Path | None, beir: Path | None) -> MakeSample:
    from rerank_ops.tune.sample import beir_sample, file_sample, shipped_sample

    if text is not None:
        return lambda tokenizer, max_length: file_sample(text, tokenizer, max_length)
    if beir is not None:
        return lambda tokenizer, max_length: beir_sample(beir, tokenizer, max_length)
    return shipped_sample


def _measure(model: str | None, make_sample: MakeSample, seconds: float, *, unsafe: bool) -> Tuning:
    from rerank_ops.tune.run import tune as measure

    settings = load_settings(model=model, unsafe=unsafe or None)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    # The bar is drawn between measurements only: a drawing thread would be measured too.
    with Progress(*columns, console=err, transient=True, auto_refresh=False) as progress:
        task = progress.add_task(f"measuring {settings.model}", total=seconds)
        progress.refresh()

        def show(passed_s: float) -> None:
            progress.update(task, completed=min(passed_s, seconds), refresh=True)

        return measure(settings, make_sample, seconds, show)


def _tell(tuning: Tuning, written: list[Path], *, as_json: bool) -> None:
    if as_json:
        report: dict[str, Any] = tuning.as_plain() | {"written": [str(path) for path in written]}
        print(json.dumps(report, indent=1, default=str))
        return
    from rerank_ops.tune.bars import print_tuning

    print_tuning(tuning, out)
    out.print(f"\nwritten: {', '.join(map(str, written))}", soft_wrap=True)
    out.print(f"use it:  export RERANK_PROFILE={written[0].resolve()}", soft_wrap=True)
