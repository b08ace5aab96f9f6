"""How much work a worker process holds."""

from __future__ import annotations

from pydantic import Field

from rerank_shared.settings.group import SettingsGroup


class BatchingSettings(SettingsGroup):
    """Read by worker processes: how much work one of them holds."""

    concurrency: int = Field(
        16,
        ge=1,
        le=256,
        description="Jobs one process holds at once, at most; each takes a thread. What it takes from the queue is "
        "bounded by work, not by this (lookahead_ms), so it need only be enough for many small jobs; 32 on a GPU.",
    )
    lookahead_ms: float = Field(
        100.0,
        gt=0.0,
        allow_inf_nan=False,
        description="Work that a process may have waiting before it stops taking jobs, by its predicted time, and "
        "never more than one batch. Enough that the engine does not idle while the next job comes; more only hoards "
        "what an idle process could do.",
    )
    token_cache_mb: int = Field(
        64,
        ge=0,
        description="Memory of each worker process for the tokens of documents it has met, which other queries ask for "
        "again; a thousand documents of 100 words take half a megabyte. 0: off.",
    )
