"""`rerank-fleet export`: turns a published model into an artefact that workers serve, and measures its quality."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from rerank_ops.cli.admin.cache import memory_text
from rerank_ops.cli.console import err, out
from rerank_ops.cli.options import settings_from
from rerank_ops.export.missing import require_export
from rerank_shared.models.cpu import choose_precision, host_features, refuse_reason
from rerank_shared.models.exported import bounds_of
from rerank_shared.models.manifest import Manifest
from rerank_shared.models.precision import LAYOUTS, LayoutName
from rerank_shared.nearest import did_you_mean

if TYPE_CHECKING:
    from rerank_ops.export.pipeline import Wanted


class Precision(StrEnum):
    """The names in `precision.PRECISIONS`, as the enum that typer needs."""

    FP32 = "fp32"
    INT8 = "int8"
    INT8_STATIC = "int8-static"
    FP16 = "fp16"
    BF16 = "bf16"


_ALL_LAYOUTS = ",".join(LAYOUTS)

Model = Annotated[
    str, typer.Argument(metavar="MODEL", help="Hub id (org/name[@revision]), directory of weights, or ONNX file.")
]
Directory = Annotated[
    Path, typer.Argument(metavar="DIR", file_okay=False, help="Directory to write; created if it does not exist.")
]
PrecisionOption = Annotated[
    Precision | None,
    typer.Option("--precision", help="Precision of the graphs. Unset: int8 where this CPU is fast at it, else fp32."),
]
Layouts = Annotated[
    str, typer.Option("--layouts", "--plans", metavar="NAMES", help="Layouts to build graphs for, separated by commas.")
]
EvalDirs = Annotated[
    list[Path] | None,
    typer.Option(
        "--eval", metavar="DIR", exists=True, file_okay=False, help="Collection (BEIR layout) to rank; repeatable."
    ),
]
EvalQueries = Annotated[
    int | None, typer.Option("--eval-queries", metavar="N", min=1, help="Rank at most N queries of a collection.")
]
Name = Annotated[str | None, typer.Option("--name", help="Model name in requests. Unset: the model's own name.")]
Plain = Annotated[
    bool, typer.Option("--plain", help="Export the model's own graph even where a faster one can be built.")
]
Reduced = Annotated[
    bool | None,
    typer.Option("--reduced-range/--full-range", help="int8 weights of 7 bits or of 8. Unset: as this CPU needs."),
]
Force = Annotated[bool, typer.Option("--force", help="Replace an artefact in DIR.")]


def export(
    model: Model,
    directory: Directory,
    precision: PrecisionOption = None,
    layouts: Layouts = _ALL_LAYOUTS,
    eval_dirs: EvalDirs = None,
    eval_queries: EvalQueries = None,
    name: Name = None,
    plain: Plain = False,
    reduced_range: Reduced = None,
    force: Force = False,
) -> None:
    """Export a model: build optimised graphs that workers serve, and measure their quality against fp32.

    Every graph must equal the published model in fp32 before it is quantised. An artefact that fails the quality gate
    is still written, but workers refuse it, and the exit status is 1.
    """
    require_export(evaluation=bool(eval_dirs))
    from rerank_ops.export.pipeline import Wanted

    settings = settings_from(None)
    chosen = precision.value if precision else choose_precision(host_features())
    wanted = Wanted(
        precision=chosen,
        layouts=_layouts(layouts),
        surgery=not plain,
        reduced_range=reduced_range,
        eval_dirs=tuple(eval_dirs or ()),
        eval_queries=eval_queries,
        bounds=bounds_of(settings),
        kernel=settings.kernel,
        name=name,
        force=force,
    )
    if reason := refuse_reason(chosen, host_features()):
        err.print(f"note: workers on a machine like this one will not serve it: {reason}", style="yellow")
    manifest = _with_progress(model, directory, wanted)
    _print(directory, manifest)
    if manifest.quality is not None and not manifest.quality.passed:
        raise typer.Exit(1)


def _layouts(text: str) -> tuple[LayoutName, ...]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if unknown := sorted(set(names) - set(LAYOUTS)):
        raise typer.BadParameter(
            f"no such layout: {', '.join(unknown)}; there are {', '.join(LAYOUTS)}{did_you_mean(unknown[0], LAYOUTS)}",
            param_hint="--layouts",
        )
    if not names:
        raise typer.BadParameter(f"name some of {', '.join(LAYOUTS)}", param_hint="--layouts")
    return tuple(layout for layout in LAYOUTS if layout in names)


def _with_progress(model: str, directory: Path, wanted: Wanted) -> Manifest:
    from rerank_ops.export.pipeline import export as export_model

    start = time.perf_counter()
    with err.status("starting") as status:

        def tell(step: str) -> None:
            status.update(step)
            err.print(f"{time.perf_counter() - start:7.1f} s  {step}", style="dim")

        return export_model(model, directory, wanted, tell)


def _print(directory: Path, manifest: Manifest) -> None:
    from rerank_ops.quality.report import quality_report

    out.print(summary(directory, manifest))
    if manifest.quality is None:
        out.print("Not measured: this precision does not run here. Workers refuse it without --unsafe.", style="yellow")
    else:
        out.print(quality_report(manifest.quality, manifest.precision))
    if manifest.kernels is not None:
        for kernel, quality in manifest.kernels.quality.items():
            out.print(quality_report(quality, "int8-row", kernel))
        if not manifest.kernels.quality:
            out.print("No kernel was measured: workers run it by ONNX Runtime's operators; see docs/kernels.md.")
    out.print(how_to_serve(directory, manifest))


def how_to_serve(directory: Path, manifest: Manifest) -> Text:
    """Return the command that serves the artefact, and why it needs RERANK_UNSAFE where workers would refuse it."""
    command, quality = f"RERANK_MODEL=file:{directory.resolve()} rerank-fleet up", manifest.quality
    if quality is not None and quality.passed:
        return Text(f"\nServe it: {command}")
    if quality is None:
        return Text(f"\nServe it unmeasured, where it runs: RERANK_UNSAFE=true {command}")
    other = "" if manifest.precision == "fp32" else " Export it with --precision fp32, or"
    told = f"\nWorkers refuse it, for it failed its quality gate.{other} try it out all the same: "
    return Text(f"{told}RERANK_UNSAFE=true {command}", style="yellow")


def summary(directory: Path, manifest: Manifest) -> Table:
    """Return the table of the artefact's properties: model, source, graphs, precision, files."""
    size = sum((directory / name).stat().st_size for name in manifest.files)
    own = "built for this architecture" if manifest.surgery else "plain: the model's own graph, fused by ONNX Runtime"
    grid = Table.grid(padding=(0, 2, 0, 0))
    for label, value in (
        ("model", manifest.model),
        ("made from", f"{manifest.source.kind} {manifest.source.name}, SHA-256 {manifest.source.digest[:16]}…"),
        ("graphs", f"{manifest.family}, {own}"),
        ("layouts", ", ".join(manifest.layouts)),
        ("precision", manifest.precision + (", weights of 7 bits" if manifest.reduced_range else "")),
        ("longest pair", f"{manifest.max_length:,} tokens"),
        ("activation", manifest.activation),
        ("files", f"{len(manifest.files)}, {memory_text(size)}, in {directory}"),
    ):
        grid.add_row(Text(label, style="dim"), Text(value))
    return grid
