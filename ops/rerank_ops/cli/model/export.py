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
from rerank_ops.export.depth.candidate_list import FEWEST_PAIRS
from rerank_ops.export.missing import require_export
from rerank_shared.models.cpu import choose_precision, host_features, refuse_reason
from rerank_shared.models.exported import bounds_of, broken_following
from rerank_shared.models.manifest import Manifest, Shortened
from rerank_shared.models.precision import LAYOUTS, LayoutName
from rerank_shared.nearest import did_you_mean

if TYPE_CHECKING:
    from rerank_ops.export.depth.shortening import Depth
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
DepthOption = Annotated[
    int | None,
    typer.Option(
        "--depth",
        metavar="N",
        min=1,
        help="Keep the first N layers, with a head fitted on --text to follow the whole model; see docs/depth.md.",
    ),
]
DepthText = Annotated[
    list[Path] | None,
    typer.Option(
        "--text",
        metavar="PATH",
        exists=True,
        help="Text for --depth, without labels: a file of requests (a JSON object with query and documents a line), or "
        "a directory in BEIR's layout; repeatable.",
    ),
]
DepthPairs = Annotated[
    int, typer.Option("--depth-pairs", metavar="N", min=FEWEST_PAIRS, help="Pairs of --text to fit the head on.")
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
    depth: DepthOption = None,
    text: DepthText = None,
    depth_pairs: DepthPairs = 1_000,
    force: Force = False,
) -> None:
    """Export a model: build optimised graphs that workers serve, and measure their quality against fp32.

    Every graph must equal the published model in fp32 before it is quantised. With --depth it is the first layers of
    that model, which are measured against the whole one, too. An artefact that fails the quality gate is still
    written, but workers refuse it, and the exit status is 1.
    """
    require_export(evaluation=bool(eval_dirs) or depth is not None)
    shortening = _depth(depth, text, depth_pairs, plain=plain)
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
        depth=shortening,
    )
    if reason := refuse_reason(chosen, host_features()):
        err.print(f"note: workers on a machine like this one will not serve it: {reason}", style="yellow")
    manifest = _with_progress(model, directory, wanted)
    _print(directory, manifest)
    if manifest.quality is not None and not manifest.quality.passed:
        raise typer.Exit(1)


def _depth(kept: int | None, text: list[Path] | None, pairs: int, *, plain: bool) -> Depth | None:
    """Return how the model is to be shortened, None where it is not. Raises BadParameter."""
    from rerank_ops.export.depth.shortening import Depth

    if kept is None:
        if text:
            raise typer.BadParameter("it is text for --depth N, which is not given", param_hint="--text")
        return None
    if not text:
        raise typer.BadParameter(
            "it needs text to fit a head on, without labels: --text FILE or DIR", param_hint="--depth"
        )
    if plain:
        raise typer.BadParameter("a plain graph keeps all its layers: leave --plain out", param_hint="--depth")
    return Depth(kept, tuple(text), pairs)


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
    from rerank_ops.quality.shortened_report import shortened_report

    out.print(summary(directory, manifest))
    if manifest.shortened is not None:
        out.print(shortened_report(manifest.shortened))
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
    if manifest.shortened is not None and broken_following(manifest.shortened):
        other = " Keep more layers, or"
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
        *_layers(manifest.shortened),
        ("layouts", ", ".join(manifest.layouts)),
        ("precision", manifest.precision + (", weights of 7 bits" if manifest.reduced_range else "")),
        ("longest pair", f"{manifest.max_length:,} tokens"),
        ("activation", manifest.activation),
        ("files", f"{len(manifest.files)}, {memory_text(size)}, in {directory}"),
    ):
        grid.add_row(Text(label, style="dim"), Text(value))
    return grid


def _layers(shortened: Shortened | None) -> list[tuple[str, str]]:
    if shortened is None:
        return []
    kept = f"the first {shortened.kept} of {shortened.layers}, with a head fitted on {shortened.pairs:,} pairs"
    return [("layers", kept)]
