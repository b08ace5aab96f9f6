"""A batcher under a test's control, and short words for what tests do with it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rerank_shared.keys import JobClass
from rerank_shared.models.precision import LayoutName
from rerank_shared.scheduling.fairness import ClassShare
from rerank_worker.batching.batcher import Batch, Batcher, WaitingPair, WaitUntil

BUDGET = 100
LAYOUTS = pytest.mark.parametrize("layout", ["unpadded", "padded"])


def candidate(
    name: int,
    tokens: int = 10,
    due_at: float = 10.0,
    entered: float = 0.0,
    sequence: int = 0,
    *,
    deadline: float | None = None,
    job_class: JobClass = "interactive",
) -> WaitingPair:
    digest = name.to_bytes(4, "big")
    return WaitingPair(
        digest, tokens, due_at, due_at if deadline is None else deadline, entered, sequence or name, job_class
    )


def batcher(
    *,
    layout: LayoutName = "unpadded",
    budget: int = BUDGET,
    max_wait_s: float = 0.0,
    s_per_token: float = 0.0,
    bulk_share: float = 0.05,
) -> Batcher:
    return Batcher(
        budget_tokens=budget,
        max_wait_s=max_wait_s,
        layout=layout,
        predict_s=lambda work: work.tokens * s_per_token,
        share=ClassShare(bulk_share),
    )


def names(batch: Batch | WaitUntil) -> list[int]:
    assert isinstance(batch, Batch)
    return [int.from_bytes(c.digest, "big") for c in batch.candidates]


def drain(waiting: Batcher, now: float = 0.0) -> Iterator[Batch]:
    while isinstance(decision := waiting.next(now), Batch):
        yield decision
    assert decision == WaitUntil(None)
