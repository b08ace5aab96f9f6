"""The table of `rerank-fleet models`: a row for each model of each process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.table import Table

from rerank_shared.contract.messages import Heartbeat
from rerank_shared.contract.model_commands import ProcessModels


def models_table(workers: Sequence[Heartbeat], told: Mapping[str, ProcessModels]) -> Table:
    """Return the table of these processes; `told` is what they said, by their ids."""
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for name in ("process", "host", "model", "pool", "precision", "weights", "resident", "free"):
        table.add_column(name, overflow="fold")
    for worker in workers:
        _add(table, worker, told.get(worker.worker_id))
    return table


def _add(table: Table, worker: Heartbeat, told: ProcessModels | None) -> None:
    process = worker.worker_id, worker.host
    if told is None:
        table.add_row(*process, f"{worker.model} (did not answer)", ", ".join(worker.pools))
        return
    memory = _mb(told.resident_bytes), _mb(told.free_bytes)
    for model in told.models:
        names = ", ".join(model.names)
        table.add_row(*process, names, model.pool, model.precision, _mb(model.weights_bytes), *memory)
        process, memory = ("", ""), ("", "")
    if told.change is not None and told.change.state == "begun":
        table.add_row(*process, f"{told.change.model} ({told.change.verb}ing)")


def _mb(size: int | None) -> str:
    return "" if size is None else f"{size / 1e6:,.0f} MB"
