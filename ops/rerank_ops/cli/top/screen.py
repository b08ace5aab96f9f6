"""The screen of `top`: a view as text for a terminal of some width and height. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from rerank_ops.cli.admin.cache import memory_text
from rerank_ops.cli.bulk.durations import duration
from rerank_ops.cli.top.conditions import seconds_text
from rerank_ops.cli.top.view import TopView
from rerank_ops.mixin.rules import P95_BUDGET_S
from rerank_producer.gateway.watch.fleet_view import WorkerView

#: From this width on the processes stand beside the queues, which take so many columns.
_WIDE, _LEFT = 116, 62
#: Below this width some columns are left out, so that the others can be read, down to some 40.
_NARROW = 72
#: Columns of a process beside its names, and the room from which on there is one for its host.
_NUMBERS, _NARROW_NUMBERS, _ROOM_FOR_HOST = 38, 17, 30
_UNKNOWN = "-"
_STYLES = {"critical": "bold red", "warning": "yellow"}


def screen(view: TopView, width: int, height: int | None, away: str | None = None) -> RenderableType:
    """Return the view; `height` None: as high as it is. `away`: why it is an old one."""
    wide, narrow = width >= _WIDE, width < _NARROW
    head = [*_head(view, narrow=narrow), *_alerts(view, away)]
    left = Group(_queues(view, narrow=narrow), Text(), _latency(view, narrow=narrow))
    # A heading each, an empty line between them.
    rows_left = 3 + len(view.autoscale.queues) + len(view.fleet.latency)
    # An empty line below the head, a heading, the line for those left out, and a last one for the cursor.
    used = len(head) + 4 + (0 if wide else rows_left + 1)
    most = None if height is None else max(1, height - used)
    room = width - (_LEFT + 2 if wide else 0) - (_NARROW_NUMBERS if narrow else _NUMBERS)
    processes = _processes(view.fleet.workers, most, room, narrow=narrow)
    if not wide:
        return Group(*head, Text(), left, Text(), processes)
    beside = Table.grid(padding=(0, 2, 0, 0))
    beside.add_column(width=_LEFT)
    beside.add_row(left, processes)
    return Group(*head, Text(), beside)


def nothing_yet(away: str) -> RenderableType:
    """Return the screen before the first view."""
    return Text(away, style=_STYLES["critical"])


def _head(view: TopView, *, narrow: bool) -> Iterator[Text]:
    """Yield the lines above the tables, none of which wraps: `screen` counts them."""
    for parts in _facts(view):
        lines = parts if narrow else [Text(" · ", style="dim").join(parts)]
        for line in lines:
            line.no_wrap, line.overflow = True, "ellipsis"
            yield line


def _facts(view: TopView) -> Iterator[list[Text]]:
    """Yield what stands side by side where there is room."""
    fleet, processes = view.fleet, view.autoscale.processes
    at = datetime.fromtimestamp(fleet.at, UTC).strftime("%H:%M:%S UTC")
    yield [Text(fleet.model, style="bold"), Text(at)]
    ready = f"{processes.ready:,} ready, {processes.busy:.1f} busy, {processes.wanted:,} wanted"
    drain = f"all done in {_seconds(view.autoscale.drain_s)}"
    yield [Text(f"{ready} ({view.autoscale.reason})"), Text(drain)]
    tokens = f"{fleet.tokens_per_s:,.0f} tokens/s while running"
    yield [Text(f"{fleet.requests_per_s:.1f} requests/s by gateways"), Text(tokens)]
    yield [Text(_cache(view)), Text(_redis(view))]


def _cache(view: TopView) -> str:
    cache = view.fleet.cache
    if cache.hit_rate is not None:
        return f"cache {cache.hit_rate:.0%} of {cache.lookups:,} pairs in a minute"
    return "cache unused" if view.hit_rate is None else f"cache {view.hit_rate:.0%} since it was cleared"


def _redis(view: TopView) -> str:
    server = view.redis
    if server is None:
        return "Redis forbids INFO"
    limit = "no limit" if server.limit_bytes is None else memory_text(server.limit_bytes)
    return f"Redis {memory_text(server.used_bytes)} of {limit}, {server.policy}"


def _alerts(view: TopView, away: str | None) -> Iterator[Text]:
    if away is not None:
        yield Text(away, style=_STYLES["critical"], overflow="ellipsis", no_wrap=True)
    for each in view.alerts:
        told = Text(f"{each.alert}  ", style=_STYLES[each.severity], overflow="ellipsis", no_wrap=True)
        yield told.append(each.says, style="not bold")
    if not view.alerts and away is None:
        yield Text("no alert", style="green")


def _queues(view: TopView, *, narrow: bool) -> Table:
    table = _table("queue", "queued", "held", *([] if narrow else ["tokens"]), "oldest", "done in", narrow=narrow)
    for name, queue in view.autoscale.queues.items():
        counts = [f"{queue.queued_jobs:,}", f"{queue.held_jobs:,}", *([] if narrow else [f"{queue.tokens:,}"])]
        table.add_row(name, *counts, _seconds(queue.oldest_age_s), _seconds(queue.drain_s))
    return table


def _latency(view: TopView, *, narrow: bool) -> RenderableType:
    if not view.fleet.latency:
        return Text("no request by a gateway for five minutes", style="dim", no_wrap=True, overflow="ellipsis")
    quantiles = ["p95 ms"] if narrow else ["p50 ms", "p95 ms", "p99 ms"]
    table = _table("documents", "requests", *quantiles, "budget", narrow=narrow)
    for each in view.fleet.latency:
        budget_ms = 1000 * P95_BUDGET_S[each.k]
        p95 = Text(f"{each.p95_ms:,.0f}", style=_STYLES["warning"] if each.p95_ms > budget_ms else "")
        p50, p99, budget = (f"{ms:,.0f}" for ms in (each.p50_ms, each.p99_ms, budget_ms))
        seen = [p95] if narrow else [p50, p95, p99]
        table.add_row(each.k, f"{each.count:,}", *seen, budget)
    return table


def _processes(workers: Sequence[WorkerView], most: int | None, room: int, *, narrow: bool) -> RenderableType:
    """Return the processes; `room`: characters for the names of each, its own and its host's."""
    with_host = room >= _ROOM_FOR_HOST
    own = room * 2 // 3 if with_host else room
    rates = [] if narrow else ["tokens/s", "pairs/batch"]
    table = _table("process", *(["host"] if with_host else []), "held", *rates, "up", narrow=narrow)
    # The busiest are what one looks for where not all have room.
    shown = sorted(workers, key=lambda each: -each.held_tokens)[:most]
    for each in shown:
        names = [_cut(each.id, own), *([_cut(each.host, room - own - 2)] if with_host else [])]
        batch = _UNKNOWN if each.pairs_per_batch is None else f"{each.pairs_per_batch:.1f}"
        rate = f"{each.tokens_per_s:,.0f}" if each.tokens_per_s else _UNKNOWN
        up = " ".join(duration(each.uptime_s).split()[:2])
        table.add_row(*names, f"{each.held_jobs:,}", *([] if narrow else [rate, batch]), up)
    left_out = len(workers) - len(shown)
    told = f"and {left_out:,} more" if left_out else "" if workers else "no process"
    return Group(table, Text(told, style="dim")) if told else table


def _cut(name: str, room: int) -> str:
    """Return a name without its middle where it has no room: hosts differ in front, processes of one host behind."""
    if len(name) <= room:
        return name
    front = (room - 1) // 2
    return f"{name[:front]}…{name[len(name) - (room - 1 - front) :]}"


def _table(first: str, *others: str, narrow: bool) -> Table:
    table = Table(box=None, padding=(0, 1 if narrow else 2, 0, 0), header_style="dim", pad_edge=False)
    table.add_column(first, overflow="ellipsis", no_wrap=True)
    for name in others:
        table.add_column(name, overflow="ellipsis", no_wrap=True, justify="left" if name == "host" else "right")
    return table


def _seconds(value: float | None) -> str:
    return _UNKNOWN if value is None else seconds_text(value)
