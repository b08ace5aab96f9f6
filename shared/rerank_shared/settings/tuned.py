"""Tuned settings: how pairs share runs and batches, as `rerank-fleet tune` measures it on a host."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from rerank_shared.models.precision import LayoutName, layout_of_today
from rerank_shared.settings.group import SettingsGroup


class TunedSettings(SettingsGroup):
    """Read by worker processes, from the profile of their model on their host. Set them by hand on a GPU, which `tune`
    does not measure (docs/gpu.md), or to try something out.
    """

    layout: LayoutName = Field(
        "unpadded",
        description="How pairs share a run. unpadded: one pair a run; a score depends on its pair alone, and ONNX "
        "Runtime is fastest so on CPU; by a kernel several pairs share a run, with the same bits. varlen: end to end, "
        "with attention in padded rows. padded to the longest; packed: end to end under a "
        "block-diagonal mask. `rerank-fleet tune` measures which is best.",
    )
    run_pairs: int = Field(
        4,
        ge=1,
        description="Pairs of one run, at most. In layout unpadded they share only the model's last step, by a kernel "
        "all of it, and more urgent pairs come in between runs; on CPU a run has more of them if it ends within 40 ms "
        "all the same. On a GPU 32 to 256.",
    )
    run_tokens: int = Field(
        1_024,
        ge=64,
        description="Tokens of one run, at most, padding counted in layout padded; a longer pair runs alone.",
    )
    budget_tokens: int = Field(
        2_048,
        ge=64,
        description="Tokens of one batch, padding counted where there is any. It bounds memory and how long an urgent "
        "job waits for the batch before it. On a GPU as large as throughput still grows with it.",
    )
    max_wait_ms: float = Field(
        0.0,
        ge=0.0,
        allow_inf_nan=False,
        description="How long an idle engine waits for more pairs before it runs a batch below budget. 0 on CPU, where "
        "batches gain nothing; 2 to 5 on a GPU.",
    )
    threads: int = Field(
        1,
        ge=1,
        description="Threads of one process's engine. Two processes of one thread do 1.5 times the work of one of two; "
        "raise it only where memory allows fewer processes than cores.",
    )

    @field_validator("layout", mode="before")
    @classmethod
    def _read_former(cls, name: Any) -> Any:
        return layout_of_today(name)
