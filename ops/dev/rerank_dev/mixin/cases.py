"""One firing and one silent case of each alert, as promtool's series: a value a minute.

The silent case is the nearest one: the same load just under the limit, or the condition that makes it all right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

_GATEWAY, _SUPERVISOR = 'instance="g", job="gateway"', 'instance="s", job="workers"'


@dataclass(frozen=True, slots=True)
class Case:
    """Series with which an alert fires at the time `at`, and series with which it is silent then.

    `labels` and `value` are those of the alert that fires; `value` as its description reads.
    """

    alert: str
    at: str
    fires: Mapping[str, str]
    silent: Mapping[str, str]
    value: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


def _told(metric: str, labels: str = "") -> list[str]:
    """Return a gauge of the fleet as a gateway and a supervisor tell it."""
    return [f"{metric}{{{', '.join(filter(None, (where, labels)))}}}" for where in (_GATEWAY, _SUPERVISOR)]


def _both(metric: str, values: str, labels: str = "") -> dict[str, str]:
    return dict.fromkeys(_told(metric, labels), values)


def _ended(**per_minute: int) -> dict[str, str]:
    """Return interactive requests by how they ended."""
    name = 'rerank_requests_total{{class="interactive", outcome="{}", ' + _GATEWAY + "}}"
    return {name.format(outcome): f"0+{count}x60" for outcome, count in per_minute.items()}


def _requests(fast: int, slow: int) -> dict[str, str]:
    """Return requests of 1 to 10 documents: a minute so many within 0.2 s, and between 0.5 and 1 s."""
    labels = f'class="interactive", cache="cold", k="1-10", {_GATEWAY}'
    counts = {"0.2": fast, "0.5": fast, "1.0": fast + slow, "+Inf": fast + slow}
    buckets = {f'rerank_request_seconds_bucket{{le="{le}", {labels}}}': f"0+{count}x60" for le, count in counts.items()}
    return buckets | {f"rerank_request_seconds_count{{{labels}}}": f"0+{fast + slow}x60"}


def _looked_up(hit: str, miss: str) -> dict[str, str]:
    return {
        f'rerank_cache_pairs_total{{result="hit", {_GATEWAY}}}': hit,
        f'rerank_cache_pairs_total{{result="miss", {_GATEWAY}}}': miss,
    }


def _memory(used: int, evicted: str) -> dict[str, str]:
    return (
        _both("rerank_redis_memory_used_bytes", f"{used}x60")
        | _both("rerank_redis_memory_limit_bytes", "1000x60")
        | _both("rerank_redis_evicted_keys_total", evicted)
        | _looked_up("0+50x60", "0+50x60")
    )


def _feedback(records: int, used_bytes: int) -> dict[str, str]:
    """Return a stream that may have 1,000 of each."""
    return (
        _both("rerank_feedback_used_records", f"{records}x60")
        | _both("rerank_feedback_limit_records", "1000x60")
        | _both("rerank_feedback_used_bytes", f"{used_bytes}x60")
        | _both("rerank_feedback_limit_bytes", "1000x60")
    )


def _told_of(**per_minute: int) -> dict[str, str]:
    """Return calls that told of feedback, by how they ended."""
    name = 'rerank_feedback_total{{outcome="{}", ' + _GATEWAY + "}}"
    return {name.format(outcome): f"0+{count}x60" for outcome, count in per_minute.items()}


CASES = (
    Case(
        "RerankP95OverBudget",
        at="20m",
        fires=_requests(fast=90, slow=10),
        silent=_requests(fast=96, slow=4),
        labels={"k": "1-10"},
        value="750ms",
    ),
    Case(
        "RerankRequestsFailed",
        at="20m",
        fires=_ended(complete=98, unavailable=1, lost=1),
        silent=_ended(complete=995, unavailable=5, invalid=500),
        value="2%",
    ),
    Case(
        "RerankRequestsRefused",
        at="20m",
        fires=_ended(complete=95, refused=5),
        silent=_ended(complete=99, refused=1),
        value="5%",
    ),
    Case(
        "RerankRequestsLate",
        at="20m",
        fires=_ended(complete=90, partial=6, deadline=4),
        silent=_ended(complete=96, partial=2, deadline=2),
        value="10%",
    ),
    Case(
        "RerankCacheCollapse",
        at="160m",
        fires=_looked_up("0+60x120 7200+6x40", "0+60x120 7200+114x40"),
        silent=_looked_up("0+60x120 7200+36x40", "0+60x120 7200+84x40"),
        value="5%",
    ),
    Case(
        "RerankQueueOld",
        at="5m",
        fires=_both("rerank_queue_oldest_age_seconds", "20x10", 'class="interactive"')
        | _both("rerank_queue_oldest_age_seconds", "20x10", 'class="bulk"'),
        silent=_both("rerank_queue_oldest_age_seconds", "14x10", 'class="interactive"')
        | _both("rerank_queue_oldest_age_seconds", "1700x10", 'class="bulk"'),
        labels={"class": "interactive"},
        value="20s",
    ),
    Case(
        "RerankDrainOverTarget",
        at="10m",
        fires=_both("rerank_queue_drain_seconds", "12x20", 'class="interactive"'),
        silent=_both("rerank_queue_drain_seconds", "9x20", 'class="interactive"')
        | _both("rerank_queue_drain_seconds", "500x20", 'class="bulk"'),
        labels={"class": "interactive"},
        value="12s",
    ),
    Case(
        "RerankDrainOverTarget",
        at="10m",
        fires=_both("rerank_queue_drain_seconds", "12x20", 'class="interactive"'),
        # Nobody has measured the model yet. A fleet without a worker has an alert of its own.
        silent=_both("rerank_queue_drain_seconds", " ".join(["Inf"] * 21), 'class="interactive"'),
        labels={"class": "interactive"},
        value="12s",
    ),
    Case(
        "RerankNoWorker",
        at="5m",
        fires=_both("rerank_workers", "0x10")
        | _both("rerank_queue_jobs", "1x10", 'class="bulk", state="queued"')
        | _both("rerank_queue_jobs", "0x10", 'class="bulk", state="held"'),
        # A fleet that was scaled to zero, and has nothing to do.
        silent=_both("rerank_workers", "0x10") | _both("rerank_queue_jobs", "0x10", 'class="bulk", state="queued"'),
    ),
    Case(
        "RerankFleetTooSmall",
        at="20m",
        fires=_both("rerank_workers", "2x30") | _both("rerank_processes_wanted", "5x30"),
        # Grown within its time.
        silent=_both("rerank_workers", "2x9 5x20") | _both("rerank_processes_wanted", "5x30"),
        value="5",
    ),
    Case(
        "RerankCrashLoop",
        at="20m",
        fires={f"rerank_supervisor_restarts_total{{{_SUPERVISOR}}}": "0+1x30"},
        silent={f"rerank_supervisor_restarts_total{{{_SUPERVISOR}}}": "0x10 1+1x2 3x20"},
        labels={"instance": "s", "job": "workers"},
        value="15",
    ),
    Case(
        "RerankJobsPoisoned",
        at="30m",
        fires={f"rerank_jobs_poisoned_total{{{_SUPERVISOR}}}": "0x10 1x20"},
        silent={f"rerank_jobs_poisoned_total{{{_SUPERVISOR}}}": "3x30"},
        labels={"instance": "s", "job": "workers"},
    ),
    Case(
        "RerankRedisDown",
        at="5m",
        fires={f"rerank_redis_up{{{_GATEWAY}}}": "1x2 0x5", f"rerank_redis_up{{{_SUPERVISOR}}}": "1x10"},
        # A fail-over between two scrapes.
        silent={f"rerank_redis_up{{{_GATEWAY}}}": "1x3 0 1x5"},
        labels={"instance": "g", "job": "gateway"},
    ),
    Case(
        "RerankRedisMemory",
        at="20m",
        fires=_memory(950, "7x60"),
        # As full, and giving up cached scores.
        silent=_memory(990, "0+100x60"),
        value="95%",
    ),
    Case(
        "RerankTargetDown",
        at="20m",
        fires={f"up{{{_GATEWAY}}}": "1x9 0x20", f"rerank_redis_up{{{_GATEWAY}}}": "1x9"},
        # Another service that is down.
        silent={'up{instance="other", job="other"}': "0x30", f"rerank_redis_up{{{_GATEWAY}}}": "1x30"},
        labels={"instance": "g", "job": "gateway"},
    ),
    Case(
        "RerankMetricsAbsent",
        at="20m",
        fires={f"rerank_redis_up{{{_GATEWAY}}}": "1x5"},
        silent={f"rerank_redis_up{{{_GATEWAY}}}": "0x30"},
    ),
    Case(
        "RerankFeedbackFull",
        at="30m",
        fires=_feedback(records=950, used_bytes=100),
        silent=_feedback(records=890, used_bytes=100),
        value="95%",
    ),
    Case(
        "RerankFeedbackFull",
        at="30m",
        fires=_feedback(records=100, used_bytes=920),
        # Its size can't be asked on this server.
        silent=_both("rerank_feedback_used_records", "100x60") | _both("rerank_feedback_limit_records", "1000x60"),
        value="92%",
    ),
    Case(
        "RerankFeedbackLost",
        at="30m",
        fires=_told_of(stored=10, dropped=1, lost=1),
        # As many that are wrong by their caller's doing.
        silent=_told_of(stored=10, invalid=2),
        value="30",
    ),
)
