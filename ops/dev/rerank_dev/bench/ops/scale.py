"""How much of everything is measured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """`drains`: trials of the signal, each with a backlog of about `backlog_s` seconds. `recoveries`: bursts, each of
    `burst_s` seconds of work on one process, and what is watched after each. `rolls`: rolling restarts, each under
    `rolled_s` seconds of load. `failovers`: deaths of the primary, each in the middle of `failover_s`
    seconds of load."""

    drains: int = 20
    backlog_s: float = 8.0
    recoveries: int = 3
    burst_s: float = 12.0
    watched_s: float = 30.0
    rolls: int = 3
    rolled_s: float = 40.0
    failovers: int = 3
    failover_s: float = 60.0


SMALL = Scale(
    drains=4,
    backlog_s=4.0,
    recoveries=1,
    burst_s=6.0,
    watched_s=12.0,
    rolls=1,
    rolled_s=25.0,
    failovers=1,
    failover_s=16.0,
)
