"""Single flight: a pair that another request has in flight is not sent again; its score is read from the cache later.

A claim names the job that scores a pair, and when its answer should be there. A claim is a lease, which ends then by
itself: if the job died, a request that waited for it finds no cached score and sends the pair itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rerank_shared.contract import wire
from rerank_shared.contract.messages import Job, PairClaim
from rerank_shared.contract.unreadable import read_or_none
from rerank_shared.keys import Keys
from rerank_shared.queue.job_queue import StoredValue

#: Claims that end sooner are not worth waiting for, nor writing.
_LEAST_S = 0.005


@dataclass(frozen=True, slots=True)
class PairClaims:
    """The claims on one request's misses that other jobs score in time, by index in the request."""

    by_index: Mapping[int, PairClaim]

    @property
    def jobs(self) -> dict[str, float]:
        """The jobs to wait for, each with the epoch second at which it should be answered."""
        return {claim.job_id: claim.until for claim in self.by_index.values()}

    @classmethod
    def of(cls, found: Mapping[int, bytes], *, now: float, deadline_at: float) -> PairClaims:
        """Decode the claims found under `keys.flight()` of the misses; drop those that end after the deadline, or that
        can't be read: their pairs are scored once more."""
        claims = {index: read_or_none("claim", wire.decode_pair_claim, value) for index, value in found.items()}
        first, last = now + _LEAST_S, deadline_at
        return cls({i: claim for i, claim in claims.items() if claim is not None and first < claim.until < last})


def claims_of(keys: Keys, job: Job, digests: Sequence[bytes], late_after_s: float) -> list[StoredValue]:
    """Return a job's claim on each of its pairs. A claim that another job holds already stays as it is."""
    until = min(job.deadline_at, job.enqueued_at + late_after_s)
    life_ms = int((until - job.enqueued_at) * 1000)
    if life_ms <= _LEAST_S * 1000:
        return []
    claim = wire.encode_pair_claim(PairClaim(job.job_id, until))
    return [StoredValue(keys.flight(digest), claim, life_ms, claim=True) for digest in digests]
