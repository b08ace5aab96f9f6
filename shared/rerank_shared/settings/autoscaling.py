"""Settings of autoscaling: what the fleet tells autoscalers to do."""

from __future__ import annotations

from pydantic import Field

from rerank_shared.settings.group import SettingsGroup


class AutoscalingSettings(SettingsGroup):
    """Read by what tells or follows the number of processes wanted: `/autoscale`, /metrics, `autoscale`, `up`."""

    min_processes: int = Field(
        1,
        ge=0,
        description="Fewest worker processes that autoscaling asks for. 0: none while nothing waits and none ran "
        "within the cool-down; the first request then waits for a process to start.",
    )
    max_processes: int | None = Field(
        None,
        ge=1,
        description="Most worker processes that autoscaling asks for. Unset: no limit. Set: `rerank-fleet up` starts "
        "and stops processes by itself.",
    )
    target_backlog_s: float = Field(
        2.0,
        gt=0.0,
        allow_inf_nan=False,
        description="Seconds of interactive work that may wait for each process. Less than your deadlines.",
    )
    bulk_target_backlog_s: float = Field(
        60.0,
        gt=0.0,
        allow_inf_nan=False,
        description="The same of bulk work. A bulk run keeps a few seconds for each process in the queue, so a fleet "
        "grows for it only if this is below that.",
    )
    cooldown_s: float = Field(
        300.0,
        ge=10.0,
        le=1_800.0,
        description="A fleet keeps the processes that its busiest ten seconds of this time need, and each one for "
        "this long after its start.",
    )
