"""Settings of batching: how much work a worker process holds."""

from __future__ import annotations

from pydantic import Field

from rerank_shared.settings.group import SettingsGroup


class BatchingSettings(SettingsGroup):
    """Read by worker processes: how much work one of them holds."""

    concurrency: int = Field(
        16,
        ge=1,
        le=256,
        description="Jobs one process holds at once, at most; each takes a thread. lookahead_ms bounds the work that "
        "it takes from the queue, so this need only be enough for many small jobs; 32 on a GPU.",
    )
    lookahead_ms: float = Field(
        100.0,
        gt=0.0,
        allow_inf_nan=False,
        description="Predicted time of the work that a process may have waiting before it stops taking jobs; never "
        "more than one batch. Enough that the engine does not idle until the next job comes; more only hoards work "
        "that an idle process could do.",
    )
    model_memory_mb: int | None = Field(
        None,
        ge=1,
        description="Memory of each worker process for the weights of its models, by the size of their files. A model "
        "that would not fit is refused, at the start and at `rerank-fleet models load`. Unset: a load is refused "
        "where cgroup or host has less free. Processes of one host share weights that are packed "
        "(RERANK_PACKED_DIR).",
    )
    token_cache_mb: int = Field(
        64,
        ge=0,
        description="Memory of each worker process, for each tokenizer of its models, for the tokens of documents, "
        "which other queries ask for again; a thousand documents of 100 words take half a megabyte. 0: off.",
    )
