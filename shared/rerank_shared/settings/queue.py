"""Settings of the queue, of results and of the score cache, which clients and workers share."""

from __future__ import annotations

from pydantic import Field

from rerank_shared.settings.group import SettingsGroup


class QueueSettings(SettingsGroup):
    """Read by clients and by worker processes: give both the same values."""

    redelivery_s: float = Field(
        6.0,
        ge=0.5,
        allow_inf_nan=False,
        description="Silence after which a job's worker counts as dead and another one gets the job; sooner where a "
        "supervisor saw it die. Live workers renew their leases, so it may be shorter than a job runs. Choose a few "
        "times the longest pause of a worker or of Redis, and less than your deadlines.",
    )
    aging_s: float = Field(
        10.0,
        gt=0.0,
        allow_inf_nan=False,
        description="Patience of the queue: work is taken most urgent first, and a job that has waited this long comes "
        "before all that is due later, whatever its deadline. Lower is fairer, higher keeps more deadlines.",
    )
    bulk_share: float = Field(
        0.05,
        ge=0.0,
        lt=1.0,
        allow_inf_nan=False,
        description="Share of the fleet's tokens that class bulk gets while interactive work waits; without any it "
        "gets all. 0: bulk may starve.",
    )
    refuse: bool = Field(
        True,
        description="Refuse at once (Overloaded) a request that could not be answered before its deadline. Off: it "
        "waits, and misses its deadline.",
    )
    max_deaths: int = Field(
        3,
        ge=1,
        description="Workers that may die, or fall silent, with a job before it is set aside as a dead letter: "
        "its caller gets JobPoisoned, and `rerank-fleet dead list` shows it.",
    )
    result_ttl_s: int = Field(
        600,
        ge=1,
        description="How long a result can be collected after it was written. Longer than the slowest collect().",
    )
    cache: bool = Field(True, description="Look scores up before enqueuing and write them back. Off: each pair is run.")
    cache_ttl_s: int = Field(
        86_400,
        ge=1,
        description="Life of a cached score. Scores never go stale (the key holds model and text), so it only "
        "bounds memory: about 130 bytes a score.",
    )
