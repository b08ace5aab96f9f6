"""What a shadow model did under one version of a route: counts in Redis, one hash a version, added up over all clients.

Sums of numbers with a fraction are kept as whole millionths, so that all fields are counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from rerank_shared.contract.unreadable import read_or_none, whole
from rerank_shared.drift.agreement import Agreement
from rerank_shared.watch.log_buckets import LogBuckets

#: Why a request that was sampled was not compared; docs/shadow.md explains each.
Drop = Literal["full", "no_workers", "busy", "late", "unavailable", "unfit", "failed", "closed"]
COMPARED = "compared"
OUTCOMES: tuple[str, ...] = (COMPARED, *get_args(Drop))
Side = Literal["live", "shadow"]
SIDES: tuple[Side, ...] = get_args(Side)
#: Of differences of scores, for their 99th percentile.
_BUCKETS = LogBuckets(lowest=1e-6, growth=1.1, last=220)
_BUCKET = "difference/"
_MILLIONTHS = 1_000_000


@dataclass(frozen=True, slots=True)
class Cost:
    """What the pairs of one request cost a model, whether they were run or cached.

    `seconds` is the time that a process needs to run them, by the cost that the model's workers measured; None where
    they have measured none.
    """

    tokens: int
    truncated: int
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Models:
    """The model that answered, and the one that scored the same pairs once more."""

    live: str
    shadow: str

    def field(self, what: str) -> str:
        """Return the field of a count. No printable name has a line break."""
        return f"{what}\n{self.live}\n{self.shadow}"


@dataclass(frozen=True, slots=True)
class ShadowFigures:
    """What came of the requests of one route version that one model answered and another one shadowed."""

    counts: Mapping[str, int] = field(default_factory=dict)
    buckets: Mapping[int, int] = field(default_factory=dict)

    @property
    def compared(self) -> int:
        """Requests whose scores were compared."""
        return self.counts.get(COMPARED, 0)

    @property
    def dropped(self) -> dict[str, int]:
        """Requests that were sampled and not compared, by reason."""
        return {reason: count for reason in get_args(Drop) if (count := self.counts.get(reason, 0))}

    @property
    def sampled(self) -> int:
        """Requests that were sampled."""
        return self.compared + sum(self.dropped.values())

    @property
    def pairs(self) -> int:
        """Pairs that were compared."""
        return self.counts.get("pairs", 0)

    @property
    def mean_difference(self) -> float | None:
        """The mean absolute difference of a pair's scores; None without pairs."""
        return self._mean("difference", self.pairs)

    @property
    def p99_difference(self) -> float | None:
        """The 99th percentile of the differences, within 5 %; None without pairs."""
        return _BUCKETS.quantile(self.buckets, 99) if self.buckets else None

    def mean(self, what: Literal["spearman", "overlap", "order"]) -> float | None:
        """Return the mean of a measure over the compared requests; None without any."""
        return self._mean(what, self.compared)

    @property
    def same_first(self) -> float | None:
        """The share of compared requests in which both models put the same document first; None without any."""
        return self.counts.get("same_first", 0) / self.compared if self.compared else None

    def truncated(self, side: Side) -> float | None:
        """Return the share of pairs that a model had to cut; None without pairs."""
        return self.counts.get(f"{side}_truncated", 0) / self.pairs if self.pairs else None

    def tokens(self, side: Side) -> float | None:
        """Return a model's tokens for one request; None without requests."""
        return self.counts.get(f"{side}_tokens", 0) / self.compared if self.compared else None

    def seconds(self, side: Side) -> float | None:
        """Return the seconds of a process that one request takes; None where no worker has measured them."""
        return self._mean(f"{side}_seconds", self.counts.get(f"{side}_timed", 0))

    def _mean(self, what: str, count: int) -> float | None:
        return self.counts.get(what, 0) / _MILLIONTHS / count if count else None


def counts_of(agreement: Agreement, costs: Mapping[Side, Cost]) -> Counter[str]:
    """Return what one compared request adds to the counts, by field without the models."""
    found = Counter({COMPARED: 1, "pairs": len(agreement.differences), "same_first": int(agreement.same_first)})
    found["difference"] = _whole(sum(agreement.differences))
    for what in ("spearman", "overlap", "order"):
        found[what] = _whole(getattr(agreement, what))
    for difference in agreement.differences:
        found[f"{_BUCKET}{_BUCKETS.of(difference)}"] += 1
    for side, cost in costs.items():
        found[f"{side}_tokens"], found[f"{side}_truncated"] = cost.tokens, cost.truncated
        if cost.seconds is not None:
            found[f"{side}_timed"], found[f"{side}_seconds"] = 1, _whole(cost.seconds)
    return found


def read_figures(answer: Mapping[bytes, bytes]) -> dict[Models, ShadowFigures]:
    """Return what each pair of models did, from all fields of one version's hash."""
    counts: dict[Models, Counter[str]] = {}
    buckets: dict[Models, Counter[int]] = {}
    for models, what, count in _fields(answer):
        counts.setdefault(models, Counter())
        bucket = what.removeprefix(_BUCKET)
        if bucket == what:
            counts[models][what] += count
        elif bucket.isdecimal() and int(bucket) <= _BUCKETS.last:
            buckets.setdefault(models, Counter())[int(bucket)] += count
    return {models: ShadowFigures(counts[models], buckets.get(models, {})) for models in counts}


def _fields(answer: Mapping[bytes, bytes]) -> Iterator[tuple[Models, str, int]]:
    for name, data in answer.items():
        what, *models = name.decode(errors="replace").split("\n")
        # A sum of correlations may be negative.
        count = read_or_none("count of shadowed requests", int if what == "spearman" else whole, data)
        if count is not None and len(models) == 2:
            yield Models(*models), what, count


def _whole(number: float) -> int:
    return round(number * _MILLIONTHS)
