"""Which pairs are in flight already, anywhere in the fleet: whoever wants one waits for that job, then finds it cached.

A claim names the job that scores a pair and when its answer should be there. It is a lease: it ends then by itself, so
a job that died takes nobody with it; who waited finds no score in the cache and sends the pair as its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rerank_producer._io.enqueue import Kept
from rerank_shared.contract import wire
from rerank_shared.contract.messages import Claim, Job
from rerank_shared.keys import Keys

#: Claims that end sooner are not worth waiting for, nor writing.
_LEAST_S = 0.005


@dataclass(frozen=True, slots=True)
class Claims:
    """The claims found on the pairs of one request: those of its misses that another job scores in time."""

    by_index: Mapping[int, Claim]

    @property
    def jobs(self) -> dict[str, float]:
        """When each job should be answered, epoch seconds."""
        return {claim.job_id: claim.until for claim in self.by_index.values()}

    @classmethod
    def of(cls, found: Mapping[int, bytes], *, now: float, deadline_at: float) -> Claims:
        """Read the claims found under `keys.flight()` of the misses; one that ends after the deadline is none."""
        claims = {index: wire.decode_claim(value) for index, value in found.items()}
        return cls({i: claim for i, claim in claims.items() if now + _LEAST_S < claim.until < deadline_at})


def claims_of(keys: Keys, job: Job, digests: Sequence[bytes], late_after_s: float) -> list[Kept]:
    """Return the claim of a job on each of its pairs; those that are claimed stay whose they are."""
    until = min(job.deadline_at, job.enqueued_at + late_after_s)
    life_ms = int((until - job.enqueued_at) * 1000)
    if life_ms <= _LEAST_S * 1000:
        return []
    claim = wire.encode_claim(Claim(job.job_id, until))
    return [Kept(keys.flight(digest), claim, life_ms, claim=True) for digest in digests]
