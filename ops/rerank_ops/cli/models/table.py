"""What `rerank-fleet models` prints: a line for each process, and below it a row for each of its models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from rerank_shared.contract.messages import Heartbeat
from rerank_shared.contract.model_commands import ProcessModels


def models_table(workers: Sequence[Heartbeat], told: Mapping[str, ProcessModels]) -> Group:
    """Return the lines of these processes; `told` is what they said, by their ids."""
    return Group(*(part for worker in workers for part in _process(worker, told.get(worker.worker_id))))


def _process(worker: Heartbeat, told: ProcessModels | None) -> Iterator[RenderableType]:
    # The id is first and stands in one piece on any terminal: `--on` takes it.
    name = Text(f"{worker.worker_id} on {worker.host}", style="bold")
    rows = Table(box=None, header_style="dim", padding=(0, 2, 0, 0), pad_edge=False)
    for column in ("  pool", "precision", "weights"):
        rows.add_column(column, no_wrap=True)
    rows.add_column("model, with its further names", overflow="fold")
    if told is None:
        yield name.append(": did not answer")
        for pool in worker.pools:
            rows.add_row(f"  {pool}")
        yield rows
        return
    yield name.append("".join(_memory(told)))
    for model in told.models:
        rows.add_row(f"  {model.pool}", model.precision, _mb(model.weights_bytes), ", ".join(model.names))
    if told.change is not None and told.change.state == "begun":
        rows.add_row("", "", "", f"{told.change.model} ({told.change.verb}ing)")
    yield rows


def _memory(told: ProcessModels) -> Iterator[str]:
    if told.resident_bytes is not None:
        yield f": {_mb(told.resident_bytes)} in use"
    if told.free_bytes is not None and told.budget_bytes is not None:
        yield f", {_mb(told.free_bytes)} of {_mb(told.budget_bytes)} free ({told.origin})"


def _mb(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"
