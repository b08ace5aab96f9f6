"""Recording rules: the figures that alerts compare, each under a name `level:metric:operation`.

The level names the labels that are left besides those of the fleet. Labels of one target are taken away and no others,
so that a label which tells fleets apart, such as `namespace`, stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

#: Labels by which Prometheus and its operator tell the targets of one fleet apart.
TARGET_LABELS = ("instance", "job", "pod", "container", "endpoint", "service")
#: Seconds within which 95 of 100 interactive requests should be answered, by number of documents. 40 ms a document,
#: which two cores without VNNI keep with the default model, and at most the default deadline: set your own.
P95_BUDGET_S = {"1-10": 0.4, "11-25": 1.0, "26-50": 2.0, "51-100": 4.0, "101-250": 10.0, "251+": 30.0}
#: How requests end by their caller's doing, which says nothing of the fleet.
CALLERS = "invalid|cancelled|revoked"
#: How requests end without an answer, each with its share.
SHARES = {
    "failed": "failed|lost|unavailable|poisoned",
    "refused": "refused",
    "late": "partial|deadline",
}
#: The same in PromQL.
TARGET = ", ".join(TARGET_LABELS)
_QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


@dataclass(frozen=True, slots=True)
class Rule:
    """One recording rule."""

    record: str
    expr: str
    labels: Mapping[str, str] = field(default_factory=dict)


def recording_groups() -> dict[str, list[Rule]]:
    """Return the rules by group. A group is evaluated in order, so a rule may use those above it."""
    return {
        "rerank-fleet": list(_gauges()),
        "rerank-requests": list(_requests()),
        "rerank-latency": list(_latency()),
        "rerank-work": list(_work()),
    }


def _gauges() -> Iterator[Rule]:
    # Every gateway and every supervisor tells the same of the whole fleet: the largest is taken, not the sum.
    for level, metric in (
        ("fleet", "rerank_workers"),
        ("fleet", "rerank_processes_busy"),
        ("fleet", "rerank_processes_wanted"),
        ("fleet", "rerank_predicted_drain_seconds"),
        ("fleet", "rerank_fleet_tokens_per_second"),
        ("class", "rerank_queue_drain_seconds"),
        ("class", "rerank_queue_oldest_age_seconds"),
        ("class", "rerank_queue_tokens"),
        ("class_state", "rerank_queue_jobs"),
    ):
        yield Rule(f"{level}:{metric}:max", f"max without ({TARGET}) ({metric})")
    used, limit = "rerank_redis_memory_used_bytes", "rerank_redis_memory_limit_bytes"
    # A server without a limit tells none, and has no ratio.
    ratio = f"max without ({TARGET}) ({used}) / max without ({TARGET}) ({limit})"
    yield Rule("fleet:rerank_redis_memory_used:ratio", ratio)
    for unit in ("records", "bytes"):
        used, limit = f"rerank_feedback_used_{unit}", f"rerank_feedback_limit_{unit}"
        ratio = f"max without ({TARGET}) ({used}) / max without ({TARGET}) ({limit})"
        yield Rule(f"fleet:rerank_feedback_{unit}:ratio", ratio)


def _requests() -> Iterator[Rule]:
    yield Rule("class_outcome:rerank_requests:rate5m", _rate("rerank_requests_total"))
    ended = f'class_outcome:rerank_requests:rate5m{{class="interactive", outcome!~"{CALLERS}"}}'
    yield Rule(total := "fleet:rerank_requests:rate5m", f"sum without (class, outcome) ({ended})")
    for name, outcomes in SHARES.items():
        some = f'class_outcome:rerank_requests:rate5m{{class="interactive", outcome=~"{outcomes}"}}'
        part = f"sum without (class, outcome) ({some})"
        yield Rule(f"fleet:rerank_requests_{name}:ratio_rate5m", f"({part} or 0 * {total}) / {total}")
    pairs = "rerank_cache_pairs_total"
    yield Rule("fleet:rerank_cache_pairs:rate15m", _rate(pairs, "result", window="15m"))
    for result in ("hit", "miss"):
        found = _rate(f'{pairs}{{result="{result}"}}', "result", window="15m")
        yield Rule(f"fleet:rerank_cache_pairs_{result}:ratio_rate15m", f"{found} / fleet:rerank_cache_pairs:rate15m")


def _latency() -> Iterator[Rule]:
    seconds = 'rerank_request_seconds_{}{{class="interactive"}}'
    buckets = _rate(seconds.format("bucket"), "class", "cache")
    for name, quantile in _QUANTILES.items():
        yield Rule(f"k:rerank_request_seconds:{name}_rate5m", f"histogram_quantile({quantile:g}, {buckets})")
    counts = _rate(seconds.format("count"), "class", "cache", function="increase")
    yield Rule("k:rerank_request_seconds:increase5m", counts)
    for k, budget_s in P95_BUDGET_S.items():
        yield Rule("k:rerank_request_seconds:p95_budget", f"vector({budget_s:g})", {"k": k})
    stages = _rate("rerank_stage_seconds_bucket")
    yield Rule("class_stage:rerank_stage_seconds:p95_rate5m", f"histogram_quantile(0.95, {stages})")


def _work() -> Iterator[Rule]:
    for metric in ("rerank_pairs_run", "rerank_tokens_run"):
        yield Rule(f"fleet:{metric}:rate5m", _rate(f"{metric}_total"))
    for metric in ("rerank_batch_pairs", "rerank_batch_tokens"):
        yield Rule(f"fleet:{metric}:mean_rate5m", f"{_rate(metric + '_sum')} / {_rate(metric + '_count')}")


def _rate(series: str, *more: str, window: str = "5m", function: str = "rate") -> str:
    """Return the rate of a counter over all targets, without `more` of its own labels."""
    return f"sum without ({', '.join((TARGET, *more))}) ({function}({series}[{window}]))"
