"""Conditions of alerts that hold now, by the limits of the table and by what one look at Redis shows. Pure.

What needs a rate over time (failures, crash loops, the cache's usual hit rate) is Prometheus's alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rerank_ops.cli.admin.checks.memory import check_memory
from rerank_ops.cli.bulk.durations import duration
from rerank_ops.cli.top.view import Holding
from rerank_ops.mixin.alerts import alert
from rerank_ops.mixin.rules import P95_BUDGET_S
from rerank_producer.gateway.watch.autoscale import AutoscaleView
from rerank_producer.gateway.watch.fleet_view import FleetView


def holding(fleet: FleetView, signal: AutoscaleView, info: Mapping[str, Any] | None) -> list[Holding]:
    """Return the alerts whose condition holds, the gravest first; `info` is the answer to INFO, if there was one."""
    found = [*_processes(signal), *_queues(signal), *_latency(fleet), *_memory(info)]
    return sorted(found, key=lambda each: each.severity != "critical")


def _processes(signal: AutoscaleView) -> Iterator[Holding]:
    ready, wanted = signal.processes.ready, signal.processes.wanted
    jobs = sum(queue.queued_jobs + queue.held_jobs for queue in signal.queues.values())
    if not ready and jobs:
        waits = "a job waits" if jobs == 1 else f"{jobs:,} jobs wait"
        yield _held("RerankNoWorker", f"{waits} and no worker is alive")
    elif wanted > ready:
        wants = "a process is wanted" if wanted == 1 else f"{wanted:,} processes are wanted"
        yield _held("RerankFleetTooSmall", f"{wants}, {ready:,} alive")


def _queues(signal: AutoscaleView) -> Iterator[Holding]:
    for name, queue in signal.queues.items():
        most_s = alert("RerankQueueOld").limits[f"{name}_s"]
        if queue.oldest_age_s is not None and queue.oldest_age_s > most_s:
            yield _held("RerankQueueOld", f"{name}: the oldest job waits {_over(queue.oldest_age_s, most_s)}")
    interactive, most_s = signal.queues["interactive"], alert("RerankDrainOverTarget").limits["seconds"]
    if interactive.drain_s is not None and interactive.drain_s > most_s:
        yield _held("RerankDrainOverTarget", f"interactive work takes {_over(interactive.drain_s, most_s)}")


def _latency(fleet: FleetView) -> Iterator[Holding]:
    requests = alert("RerankP95OverBudget").limits["requests"]
    for seen in fleet.latency:
        if seen.count >= requests and seen.p95_ms > 1000 * P95_BUDGET_S[seen.k]:
            told = f"p95 of {seen.k} documents is {_over(seen.p95_ms / 1000, P95_BUDGET_S[seen.k])}"
            yield _held("RerankP95OverBudget", told)


def _memory(info: Mapping[str, Any] | None) -> Iterator[Holding]:
    # The doctor reads the policy and counts what can be evicted, which Prometheus's alert has to guess.
    for finding in check_memory(info) if info else ():
        if finding.name == "memory" and finding.status != "ok":
            yield _held("RerankRedisMemory", finding.message)


def _held(name: str, says: str) -> Holding:
    return Holding(alert=name, severity=alert(name).severity, says=says)


def _over(seconds: float, most_s: float) -> str:
    return f"{seconds_text(seconds)}, over {seconds_text(most_s)}"


def seconds_text(seconds: float) -> str:
    """Return a time in words; one below a minute with its tenths."""
    return f"{seconds:.1f} s" if seconds < 60 else duration(seconds)
