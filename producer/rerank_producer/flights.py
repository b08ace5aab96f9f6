"""Which pairs are in flight already, anywhere in the fleet: whoever wants one waits for that job, then finds it cached.

A claim names the job that scores a pair and when its answer should be there. It is a lease: it ends then by itself, so
a job that died takes nobody with it; who waited finds no score in the cache and sends the pair as its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from rerank_producer.port import Port
from rerank_shared import wire
from rerank_shared.keys import Keys
from rerank_shared.messages import Claim, Job

_CLAIM_PAIRS = resources.files("rerank_shared").joinpath("lua/claim_pairs.lua").read_text()
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
    async def read(
        cls, port: Port, keys: Keys, digests: Sequence[bytes], misses: Sequence[int], *, now: float, deadline_at: float
    ) -> Claims:
        """Ask for claims on the misses; one that ends after the deadline is none. One round trip."""
        names = [keys.flight(digests[index]) for index in misses]
        (values,) = await port.pipeline(lambda pipe: pipe.mget(names))
        found = {index: wire.decode_claim(value) for index, value in zip(misses, values, strict=True) if value}
        return cls({i: claim for i, claim in found.items() if now + _LEAST_S < claim.until < deadline_at})

    @staticmethod
    def add_to(pipe: Any, keys: Keys, job: Job, digests: Sequence[bytes], late_after_s: float) -> None:
        """Queue on a Redis pipeline the claim of a job on its pairs; those that are claimed stay whose they are."""
        until = min(job.deadline_at, job.enqueued_at + late_after_s)
        life_ms = int((until - job.enqueued_at) * 1000)
        if life_ms > _LEAST_S * 1000:
            names = [keys.flight(digest) for digest in digests]
            pipe.eval(_CLAIM_PAIRS, len(names), *names, wire.encode_claim(Claim(job.job_id, until)), life_ms)
