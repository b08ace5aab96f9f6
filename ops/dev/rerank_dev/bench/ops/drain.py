"""The drain signal against the truth: a known backlog, the prediction, and the time until the queue was empty.

Before the signal is read in a trial, a process is killed, one is stopped, one is started, or nothing happens.
"""

from __future__ import annotations

import os
import random
import signal
import time
from typing import Any

from rerank_dev.bench.ops.processes import wait_for_processes
from rerank_dev.bench.ops.scale import Scale
from rerank_dev.bench.record import Figure
from rerank_dev.bench.scheduling.load import Questions
from rerank_ops.local.fleet import LocalFleet, local_fleet
from rerank_producer import RerankClient
from rerank_shared.redis.connections import connect
from rerank_shared.settings import Settings
from rerank_shared.watch.autoscale import read_signal

PROCESSES = 2
EVENTS = ("nothing", "a process killed", "a process stopped", "a process started")
_K = (5, 10, 20, 50)
_DEADLINE_MS = 600_000.0
#: Until the fleet knows of what happened: a killed process counts until its heartbeat runs out.
_SETTLE_S = 2.0
_POLL_S = 0.05


def drain(settings: Settings, questions: Questions, scale: Scale) -> list[Figure]:
    """Return by how much the signal is off, of all trials and for each event."""
    errors: dict[str, list[float]] = {event: [] for event in EVENTS}
    signed = []
    with (
        local_fleet(settings, PROCESSES) as fleet,
        connect(fleet.settings) as redis,
        RerankClient(fleet.settings) as client,
    ):
        _teach(client, questions)
        for number in range(scale.drains):
            event = EVENTS[number % len(EVENTS)]
            ratio = _trial(fleet, redis, client, questions, scale, event, number)
            errors[event].append(abs(ratio - 1))
            signed.append(ratio)
    every = [error for some in errors.values() for error in some]
    return [
        Figure.of("drain_s against the truth, error", every, "share", "at most", 0.25),
        Figure.of("drain_s over the truth", signed, "ratio"),
        *(Figure.of(f"drain_s against the truth, error, {event}", some, "share") for event, some in errors.items()),
    ]


def _teach(client: RerankClient, questions: Questions) -> None:
    chance = random.Random(0)
    for number in range(10):
        query = questions.pick(chance, 20, f"teach {number}")
        client.rerank(query.text, query.documents, deadline_ms=_DEADLINE_MS)


def _trial(
    fleet: LocalFleet, redis: Any, client: RerankClient, questions: Questions, scale: Scale, event: str, number: int
) -> float:
    """Return predicted over actual seconds."""
    chance, supervisor = random.Random(number), fleet.supervisor
    supervisor.resize(1 if event == "a process started" else PROCESSES, {})
    wait_for_processes(fleet.settings, 1 if event == "a process started" else PROCESSES)
    sent = 0
    while read_signal(redis, fleet.settings).state.predicted_drain_s < scale.backlog_s:
        query = questions.pick(chance, chance.choice(_K), f"drain {number} {sent}")
        client.submit(query.text, query.documents, deadline_ms=_DEADLINE_MS)
        sent += 1
    match event:
        case "a process killed":
            os.kill(chance.choice(sorted(supervisor.pids())), signal.SIGKILL)
        case "a process stopped":
            supervisor.resize(1, {})
        case "a process started":
            supervisor.resize(PROCESSES, {})
    time.sleep(_SETTLE_S)
    told, at = read_signal(redis, fleet.settings), time.monotonic()
    while sum(queue.jobs for queue in read_signal(redis, fleet.settings).state.backlog.values()):
        time.sleep(_POLL_S)
    return told.state.predicted_drain_s / (time.monotonic() - at)
