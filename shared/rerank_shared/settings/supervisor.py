"""Settings of the worker processes of one host."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rerank_shared.settings.group import SettingsGroup


class SupervisorSettings(SettingsGroup):
    """Read by `rerank-fleet worker` and `up`: the supervisor, and the processes that it starts."""

    processes: int | None = Field(
        None,
        ge=1,
        description="Worker processes of one supervisor. Unset: one for each core that affinity and cgroup allow.",
    )
    preload: bool = Field(
        True,
        description="Load the model once and fork the worker processes from that, so that they share its memory and "
        "one that crashed is back sooner. Only where two or more processes of one thread each run on the CPUs of a "
        "Linux host; elsewhere, and when off, each process loads its own.",
    )
    pin: bool = Field(
        True, description="Pin each worker process to its own core (Linux), where there is a process for each core."
    )
    grace_s: float = Field(
        20.0,
        ge=0.5,
        allow_inf_nan=False,
        description="Time between SIGTERM and SIGKILL: running batches finish, waiting jobs go back. Shorter than your "
        "platform's own grace (Kubernetes: 30 s).",
    )
    metrics_port: int = Field(
        0,
        ge=0,
        le=65_535,
        description="Port of /metrics, /healthz and /readyz, on the supervisor. 0: off.",
    )
    metrics_host: str = Field("127.0.0.1", description="Address that /metrics listens on. 0.0.0.0 in a container.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Workers' log level. INFO says nothing per request; metrics carry the rate."
    )
