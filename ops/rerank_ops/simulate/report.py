"""Report of a simulated fleet: latencies by k, the shares of ends, and the work done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rerank_ops.simulate.model.call import ENDS, Call, End
from rerank_ops.simulate.model.run import Result

#: More different k than this are grouped into ranges that end at these.
_FEW = 6
_CLASSES = (10, 30, 100, 300, 1_000)


@dataclass(frozen=True, slots=True)
class Latencies:
    """Latencies of requests of similar k, without refused ones; NaN where there are none."""

    k: str
    requests: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    shares: dict[End, float]


@dataclass(frozen=True, slots=True)
class Report:
    """One simulated fleet. `latencies` starts with all requests; rates cover the time from warm-up to last arrival."""

    name: str
    processes: int
    requests: int
    seconds: float
    latencies: tuple[Latencies, ...]
    utilisation: float
    pairs_per_s: float
    tokens_per_s: float
    cached_share: float
    parts_mean: float

    @property
    def overall(self) -> Latencies:
        """The latencies of all requests."""
        return self.latencies[0]

    def as_plain(self) -> dict[str, Any]:
        """Return the report as plain data, for JSON."""
        plain = asdict(self)
        for row in plain["latencies"]:
            # JSON knows no NaN.
            row |= {name: None for name, value in row.items() if value != value}
        return plain


def summarise(name: str, result: Result) -> Report:
    """Return the report of one result."""
    calls, meter = result.calls, result.meter
    seconds = meter.ends - meter.begins
    sent = [call.parts for call in calls if call.parts]
    return Report(
        name=name,
        processes=result.spec.processes,
        requests=len(calls),
        seconds=seconds,
        latencies=(latencies_of("all", calls), *(latencies_of(k, some) for k, some in _by_k(calls))),
        utilisation=result.utilisation,
        pairs_per_s=meter.pairs / seconds,
        tokens_per_s=meter.tokens / seconds,
        cached_share=sum(call.cached for call in calls) / len(calls),
        parts_mean=sum(sent) / len(sent) if sent else 0.0,
    )


def percentile(ascending: Sequence[float], share: float) -> float:
    """Return the percentile `share` (0 to 1) of ascending values, linearly interpolated; NaN of no values."""
    if not ascending:
        return float("nan")
    place = share * (len(ascending) - 1)
    below = int(place)
    above = min(below + 1, len(ascending) - 1)
    return ascending[below] + (ascending[above] - ascending[below]) * (place - below)


def latencies_of(k: str, calls: Sequence[Call]) -> Latencies:
    """Return the latencies of some calls under the name `k`."""
    ascending = sorted(call.latency_s for call in calls if call.end != "refused")
    p50, p95, p99 = (1000 * percentile(ascending, share) for share in (0.50, 0.95, 0.99))
    ends = Counter(call.end for call in calls)
    return Latencies(k, len(calls), p50, p95, p99, {end: ends[end] / len(calls) for end in ENDS})


def _by_k(calls: Sequence[Call]) -> list[tuple[str, list[Call]]]:
    counts = sorted({len(call.request.tokens) for call in calls})
    if len(counts) == 1:
        return []
    bounds = counts if len(counts) <= _FEW else [*(b for b in _CLASSES if b < counts[-1]), counts[-1]]
    groups: list[tuple[str, list[Call]]] = []
    below = 0
    for bound in bounds:
        some = [call for call in calls if below < len(call.request.tokens) <= bound]
        if some:
            groups.append((str(bound) if bound - below == 1 or len(counts) <= _FEW else f"{below + 1}-{bound}", some))
        below = bound
    return groups
