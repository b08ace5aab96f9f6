"""How requests ended, by version of a route and model, over all processes: counts in Redis, one hash a version.

A rollout makes a version of its route for each step, so a hash holds what one step did, whatever the clocks say. Labels
come from routes and closed sets, so callers can't make any.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from rerank_producer._dispatch.routes.ended import RoutedRequest
from rerank_producer.metrics import K_LABELS, k_bucket
from rerank_shared.contract.unreadable import read_or_none, whole
from rerank_shared.keys import ROUTED_TTL_S, Keys
from rerank_shared.redis.pending_counts import PendingCounts
from rerank_shared.watch.log_buckets import DURATIONS

#: Ends that say nothing of the model: the request was wrong, its caller gave it up, or Redis was away.
NOT_THE_MODELS = frozenset({"invalid", "revoked", "unavailable"})
#: The fewest requests of each model whose 95th percentile says something.
P95_REQUESTS = 20


@dataclass(frozen=True, slots=True)
class Figures:
    """What one model did under one version of a route.

    - `outcomes`: requests by how they ended; those of NOT_THE_MODELS are left out.
    - `seconds`: interactive requests that the model scored a pair of and answered in full, by the number of those pairs
      (K_LABELS) and by bucket of their duration (DURATIONS).
    """

    outcomes: Mapping[str, int] = field(default_factory=dict)
    seconds: Mapping[str, Mapping[int, int]] = field(default_factory=dict)

    @property
    def requests(self) -> int:
        """Requests that ended."""
        return sum(self.outcomes.values())

    @property
    def failed(self) -> int:
        """Those that ended with an error, or with a part of their scores."""
        return self.requests - self.outcomes.get("complete", 0)

    @property
    def error_share(self) -> float:
        """The share of requests that failed, 0 to 1; 0 without requests."""
        return self.failed / self.requests if self.requests else 0.0


@dataclass(frozen=True, slots=True)
class Durations:
    """The 95th percentiles of two models for requests with `k` scored documents, each of P95_REQUESTS at least."""

    k: str
    old_ms: float
    old_requests: int
    new_ms: float
    new_requests: int

    @property
    def ratio(self) -> float:
        """The new model's over the old one's."""
        return self.new_ms / self.old_ms


def durations_beside(old: Figures, new: Figures) -> Iterator[Durations]:
    """Yield the durations of two models that say something, by k class."""
    for k in K_LABELS:
        before, now = old.seconds.get(k, {}), new.seconds.get(k, {})
        counts = sum(before.values()), sum(now.values())
        if min(counts) >= P95_REQUESTS:
            old_ms, new_ms = (1000 * DURATIONS.quantile(each, 95) for each in (before, now))
            yield Durations(k, old_ms, counts[0], new_ms, counts[1])


def baseline(newest_first: Sequence[Figures], min_requests: int) -> Figures:
    """Return the newest figures of the old model with enough requests to compare with, else the newest of all.

    Without any figures they are empty: then each failure of the new model counts, and no duration does.
    """
    enough = (figures for figures in newest_first if figures.requests >= min_requests)
    return next(enough, newest_first[0] if newest_first else Figures())


class RoutedCounts(PendingCounts):
    """Counts the routed requests of one process."""

    def __init__(self, keys: Keys) -> None:
        super().__init__(keys, ROUTED_TTL_S)

    def observe(self, ended: RoutedRequest) -> None:
        """Count a request that has ended."""
        if ended.outcome in NOT_THE_MODELS:
            return
        key = self._keys.routed(ended.route, ended.version)
        self.add(key, f"{ended.outcome}|{ended.model}")
        if ended.outcome == "complete" and ended.job_class == "interactive" and ended.run_pairs:
            self.add(key, f"{k_bucket(ended.run_pairs)}/{DURATIONS.of(ended.seconds)}|{ended.model}")


def read_figures(answer: Mapping[bytes, bytes], model: str) -> Figures:
    """Return what a model did, from all fields of one version's hash."""
    outcomes: Counter[str] = Counter()
    seconds: dict[str, Counter[int]] = {}
    for name, data in answer.items():
        what, _, whose = name.decode(errors="replace").partition("|")
        if whose != model or (count := read_or_none("count of routed requests", whole, data)) is None:
            continue
        k, slash, bucket = what.partition("/")
        if not slash:
            outcomes[what] += count
        elif (number := read_or_none("duration of routed requests", partial(_bucket, k), bucket.encode())) is not None:
            seconds.setdefault(k, Counter())[number] += count
    return Figures(outcomes, seconds)


def _bucket(k: str, data: bytes) -> int:
    if k not in K_LABELS or not 0 <= (bucket := int(data)) <= DURATIONS.last:
        raise ValueError(f"not a k class and bucket: {k!r}, {data!r}")
    return bucket
