"""The screen of `top`, and the alerts whose condition it sees."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from rerank_ops.cli.top.conditions import holding
from rerank_ops.cli.top.screen import screen
from rerank_ops.cli.top.view import ServerView, TopView
from rerank_ops.mixin.alerts import alert
from rerank_producer.gateway.watch.autoscale import AutoscaleView, ProcessSignal, QueueSignal
from rerank_producer.gateway.watch.fleet_view import CacheView, FleetView, LatencyView, WorkerView

IDLE = QueueSignal(drain_s=0.0, tokens=0, queued_jobs=0, held_jobs=0, oldest_age_s=None)
FULL_SERVER = {"maxmemory": 1_000_000, "used_memory": 999_000, "maxmemory_policy": "noeviction"}


def signal(*, ready: int = 2, wanted: int = 2, **queues: dict[str, Any]) -> AutoscaleView:
    found = {name: IDLE.model_copy(update=queues.get(name, {})) for name in ("interactive", "bulk")}
    processes = ProcessSignal(ready=ready, busy=0.0, wanted=wanted, min=1, max=None)
    return AutoscaleView(at=1e9, model="m", queues=found, drain_s=0.0, processes=processes, pools=[], reason="load")


def fleet(workers: int = 2, latency: dict[str, tuple[int, float]] | None = None) -> FleetView:
    return FleetView(
        at=1e9,
        model="m",
        queues=[],
        workers=[worker(number) for number in range(workers)],
        tokens_per_s=100.0,
        requests_per_s=1.0,
        cache=CacheView(lookups=0, hit_rate=None),
        latency=[LatencyView(k=k, count=n, p50_ms=1.0, p95_ms=ms, p99_ms=ms) for k, (n, ms) in (latency or {}).items()],
        predicted_drain_s=0.0,
        pools=[],
        routes=[],
    )


def worker(number: int) -> WorkerView:
    return WorkerView(
        id=f"host-with-a-long-name-{number}-0-abcd",
        model="m",
        host="host-with-a-long-name",
        core=None,
        pairs_per_batch=None,
        tokens_per_s=0.0,
        held_jobs=number,
        held_tokens=number * 100,
        uptime_s=100_000.0,
    )


def names(fleet_view: FleetView, signal_view: AutoscaleView, info: dict[str, Any] | None = None) -> list[str]:
    return [each.alert for each in holding(fleet_view, signal_view, info)]


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (signal(), []),
        (signal(ready=0, interactive={"queued_jobs": 1}), ["RerankNoWorker"]),
        (signal(ready=0, wanted=0), []),
        (signal(wanted=3), ["RerankFleetTooSmall"]),
        (signal(interactive={"oldest_age_s": 15.1}), ["RerankQueueOld"]),
        (signal(interactive={"oldest_age_s": 15.0}), []),
        (signal(bulk={"oldest_age_s": 1_700.0}), []),
        (signal(bulk={"oldest_age_s": 1_900.0}), ["RerankQueueOld"]),
        (signal(interactive={"drain_s": 10.5}), ["RerankDrainOverTarget"]),
        (signal(bulk={"drain_s": 1e6}), []),
        (signal(interactive={"drain_s": None}), []),
    ],
)
def test_conditions_hold_beyond_the_limits_of_the_table(seen: AutoscaleView, expected: list[str]) -> None:
    assert names(fleet(), seen) == expected


def test_a_slow_size_counts_once_there_are_requests_enough() -> None:
    few = int(alert("RerankP95OverBudget").limits["requests"])
    assert names(fleet(latency={"1-10": (few, 401.0)}), signal()) == ["RerankP95OverBudget"]
    assert names(fleet(latency={"1-10": (few - 1, 401.0)}), signal()) == []
    assert names(fleet(latency={"1-10": (few, 399.0)}), signal()) == []


def test_memory_counts_where_nothing_can_be_given_up_and_the_gravest_stands_first() -> None:
    assert names(fleet(), signal(), FULL_SERVER) == ["RerankRedisMemory"]
    full_of_scores = FULL_SERVER | {"maxmemory_policy": "volatile-lru", "db0": {"expires": 8_000}}
    assert names(fleet(), signal(), full_of_scores) == []
    alone = signal(ready=0, interactive={"queued_jobs": 1, "oldest_age_s": 60.0})
    assert names(fleet(), alone, FULL_SERVER) == ["RerankNoWorker", "RerankQueueOld", "RerankRedisMemory"]


def shown(view: TopView, width: int, height: int | None, away: str | None = None) -> list[str]:
    console = Console(width=width, file=StringIO())
    with console.capture() as captured:
        console.print(screen(view, width, height, away))
    return captured.get().splitlines()


def top(workers: int = 2) -> TopView:
    server = ServerView(used_bytes=5_000_000, limit_bytes=None, policy="noeviction", evicted_keys=0)
    seen = fleet(workers, {"1-10": (30, 500.0), "251+": (3, 20_000.0)})
    return TopView(
        fleet=seen, autoscale=signal(), redis=server, hit_rate=None, alerts=holding(seen, signal(), FULL_SERVER)
    )


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("height", [24, 40])
def test_a_large_fleet_fits_the_terminal_and_shows_who_holds_most(width: int, height: int) -> None:
    lines = shown(top(workers=100), width, height)
    assert len(lines) < height
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    assert "99-0-abcd" in text
    assert "-name-0-0-abcd" not in text
    assert "more" in text


@pytest.mark.parametrize("width", [40, 60])
def test_a_narrow_terminal_has_whole_headings_and_numbers(width: int) -> None:
    lines = shown(top(workers=100), width, 40)
    assert len(lines) < 40
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    for whole in ("interactive", "queued", "oldest", "done in", "documents", "251+", "p95 ms", "20,000", "held"):
        assert whole in text
    # The end of a name tells processes apart.
    assert "9-0-abcd" in text


def test_all_processes_are_printed_where_there_is_no_height() -> None:
    assert sum("-0-abcd" in line for line in shown(top(workers=100), 120, None)) == 100


def test_an_outage_stands_above_what_was_seen_last() -> None:
    lines = shown(top(), 80, 24, "Redis at redis://somewhere can't be reached: no route to host, and so on and on")
    outage = next(number for number, line in enumerate(lines) if line.startswith("Redis at"))
    assert outage < next(number for number, line in enumerate(lines) if line.startswith("queue"))


def test_what_nobody_knows_is_a_dash() -> None:
    view = top().model_copy(update={"redis": None, "alerts": []})
    text = "\n".join(shown(view, 80, None))
    assert "Redis forbids INFO" in text
    assert "cache unused" in text
    assert "no alert" in text
    assert "nan" not in text.lower()
