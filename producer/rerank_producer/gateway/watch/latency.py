"""Durations of requests by number of documents, over all gateway processes: counts in Redis, one hash a slot of time.

Buckets grow by a tenth, so a quantile is within 5 % of the true one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from rerank_producer.metrics import K_LABELS, k_bucket
from rerank_shared.contract.unreadable import read_or_none
from rerank_shared.keys import LATENCY_SLOT_S, LATENCY_TTL_S, Keys
from rerank_shared.redis.pending_counts import PendingCounts
from rerank_shared.redis.server_clock import ServerClock
from rerank_shared.watch.log_buckets import DURATIONS

WINDOW_S = 300
#: The window of a rate, seconds.
_RATE_WINDOW_S = 60


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Durations of `count` requests."""

    count: int
    p50_ms: float
    p95_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Latency:
    """The requests that all gateways answered: durations over the window by k class, and the rate over a minute."""

    by_k: dict[str, Quantiles]
    requests_per_s: float


class Latencies(PendingCounts):
    """Counts the requests of one process by duration; `clock` is the server's once that was asked."""

    def __init__(self, keys: Keys, clock: ServerClock | None = None) -> None:
        super().__init__(keys, LATENCY_TTL_S)
        self.clock = clock or ServerClock()

    def observe(self, k: int, seconds: float) -> None:
        """Count an answered request of `k` documents."""
        self.add(self._keys.latency(_slot(self.clock.epoch())), f"{k_bucket(k)}|{bucket_of(seconds)}")


def ask_latency(pipe: Any, keys: Keys, now: float, window_s: float = WINDOW_S) -> None:
    """Queue on a pipeline the questions that `read_latency` reads the answers of, one a slot, newest first."""
    for slot in range(_slot(now), _slot(now - window_s) - 1, -1):
        pipe.hgetall(keys.latency(slot))


def read_latency(answers: Sequence[Mapping[bytes, bytes]], now: float) -> Latency:
    """Return the latency from the answers to `ask_latency`, in the order of k."""
    by_k: dict[str, Counter[int]] = {}
    for k, bucket, count in _fields(answers):
        by_k.setdefault(k, Counter())[bucket] += count
    newest = _slot(now)
    recent = newest - _slot(now - _RATE_WINDOW_S)
    seconds = now - (newest - recent + 1) * LATENCY_SLOT_S
    answered = sum(count for _, _, count in _fields(answers[:recent]))
    quantiles = {k: quantiles_of(by_k[k]) for k in sorted(by_k, key=_first_k)}
    return Latency(quantiles, answered / seconds if seconds > 0 else 0.0)


def quantiles_of(counts: Mapping[int, int]) -> Quantiles:
    """Return the quantiles of requests counted by bucket; there is one at least."""
    return Quantiles(sum(counts.values()), *(quantile_ms(counts, percent) for percent in (50, 95, 99)))


def quantile_ms(counts: Mapping[int, int], percent: int) -> float:
    """Return the duration that `percent` of the requests did not exceed."""
    return DURATIONS.quantile(counts, percent) * 1000


def bucket_of(seconds: float) -> int:
    """Return the bucket that a duration is counted in; bucket n ends at 0.1 ms * 1.1 ** n."""
    return DURATIONS.of(seconds)


def middle_s(bucket: int) -> float:
    """Return the duration that stands for a bucket: its geometric middle."""
    return DURATIONS.middle(bucket)


def _fields(answers: Sequence[Mapping[bytes, bytes]]) -> Iterator[tuple[str, int, int]]:
    for answer in answers:
        for field, count in answer.items():
            read = read_or_none("count of requests", partial(_read_field, field), count)
            if read is not None:
                yield read


def _read_field(field: bytes, count: bytes) -> tuple[str, int, int]:
    k, _, bucket = field.decode().partition("|")
    if k not in K_LABELS or not 0 <= int(bucket) <= DURATIONS.last or int(count) < 0:
        raise ValueError(f"not a count of a k class and bucket: {field!r}")
    return k, int(bucket), int(count)


def _first_k(label: str) -> int:
    return int(label.rstrip("+").partition("-")[0])


def _slot(at: float) -> int:
    return int(at // LATENCY_SLOT_S)
