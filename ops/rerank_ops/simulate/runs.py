"""The twin of how the engine splits a batch into runs; the engine's own (`RunShape`) needs its libraries."""

from __future__ import annotations

from collections.abc import Sequence

from rerank_worker.batching.plan_work import PlanWork


def split_runs(work: PlanWork, lengths: Sequence[int]) -> list[int]:
    """Return the pairs of each run of a batch whose pairs have these lengths, in the order in which they run."""
    runs: list[int] = []
    count, total, longest = 0, 0, 0
    for length in lengths:
        grown, highest = total + length, max(longest, length)
        tokens = highest * (count + 1) if work.plan == "buckets" else grown
        if count and (count >= work.run_pairs or tokens > work.run_tokens):
            runs.append(count)
            count, grown, highest = 0, length, length
        count, total, longest = count + 1, grown, highest
    if count:
        runs.append(count)
    return runs
