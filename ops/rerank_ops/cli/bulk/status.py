"""`rerank-fleet bulk status` and `bulk export`: a run seen from another shell, and what it has written so far."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from rerank_ops.cli.bulk.durations import duration
from rerank_ops.cli.bulk.exits import exits
from rerank_ops.cli.bulk.group import bulk
from rerank_ops.cli.console import err, out
from rerank_ops.cli.options import AsJson

_WATCH_S = 2.0

Run = Annotated[Path, typer.Argument(metavar="OUTPUT", help="Output of the run, or its journal.")]


@bulk.command()
def status(
    run: Run,
    watch: Annotated[bool, typer.Option("--watch", help="Print again every two seconds, until the run ends.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show how far a run is."""
    from rerank_ops.bulk.looking import look

    output = _output_of(run)
    with exits():
        while True:
            seen = look(output, time.time())
            print(json.dumps(seen)) if as_json else out.print(_text(seen), soft_wrap=True)
            if not watch or seen["state"] != "running":
                return
            time.sleep(_WATCH_S)


@bulk.command()
def export(
    run: Run,
    target: Annotated[Path, typer.Argument(metavar="FILE", help="File to write.")],
    partial: Annotated[bool, typer.Option("--partial", help="What is committed so far will do.")] = False,
) -> None:
    """Copy a run's output to a file, complete or as far as it is."""
    from rerank_ops.bulk.looking import export_to

    output = _output_of(run)
    with exits():
        rows = export_to(output, target, partial=partial)
        err.print(f"{rows:,} rows in {target}")


def _text(seen: dict[str, Any]) -> str:
    of = "" if seen["rows_total"] is None else f" of {seen['rows_total']:,}"
    parts = [f"{seen['output']}: {seen['state']}", f"{seen['rows']:,} rows{of}"]
    if seen["failed_queries"]:
        parts.append(f"{seen['failed_queries']:,} failed")
    if seen["state"] == "running":
        parts.append(f"{seen['rows_per_s']:,.1f} rows/s")
    if seen["left_s"] is not None:
        parts.append(f"{duration(seen['left_s'])} left")
    if seen["state"] == "stopped":
        parts.append("the command that began it goes on with it")
    return ", ".join(parts)


def _output_of(run: Path) -> Path:
    return run.with_name(run.name.removesuffix(".journal"))
