"""Client metrics for Prometheus, in the default registry. Labels come from closed sets only.

There are only counters and histograms, so that the multi-process mode of prometheus_client can add them up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

from prometheus_client import REGISTRY, Counter, Histogram

from rerank_shared.contract.schemas import RerankResponse
from rerank_shared.drift.agreement import Agreement
from rerank_shared.drift.figures import Cost, Side
from rerank_shared.errors import (
    DeadlineExceeded,
    InvalidRequest,
    JobLost,
    JobPoisoned,
    JobRevoked,
    Overloaded,
    QueueUnavailable,
    RerankError,
)
from rerank_shared.keys import JOB_CLASSES
from rerank_shared.routing.route import Target

#: From 1 ms to a minute, each 1.5 times the one before.
SECONDS_BUCKETS = tuple(round(0.001 * 1.5**step, 6) for step in range(28))
#: From 0.001 to 1,000, four a decade.
_RATIO_BUCKETS = tuple(round(10 ** (step / 4), 6) for step in range(-12, 13))
#: Of differences of scores, 0.0001 to 10, three a decade.
_DIFFERENCE_BUCKETS = tuple(round(10 ** (step / 3), 6) for step in range(-12, 4))
_SPEARMAN_DISTANCE_BUCKETS = (0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0)
_SHARE_BUCKETS = tuple(tenths / 10 for tenths in range(11))
_K_BUCKETS = ((10, "1-10"), (25, "11-25"), (50, "26-50"), (100, "51-100"), (250, "101-250"))
_LARGEST_K = "251+"
#: Values of the label `k`.
K_LABELS = (*(label for _, label in _K_BUCKETS), _LARGEST_K)
_OUTCOMES: tuple[tuple[type[RerankError], str], ...] = (
    (InvalidRequest, "invalid"),
    (Overloaded, "refused"),
    (DeadlineExceeded, "deadline"),
    (QueueUnavailable, "unavailable"),
    (JobRevoked, "revoked"),
    (JobLost, "lost"),
    (JobPoisoned, "poisoned"),
)


def _once(kind: Any, name: str, *args: Any, **options: Any) -> Any:
    """Make a metric, or return the one of that name: a module may be imported again, a metric made only once."""
    try:
        return kind(name, *args, **options)
    except ValueError:
        return REGISTRY._names_to_collectors[name]


REQUEST_SECONDS = cast(
    Histogram,
    _once(
        Histogram,
        "rerank_request_seconds",
        "Duration of answered rerank() calls; cache is hot (all pairs cached), warm (some) or cold (none).",
        ["class", "k", "cache"],
        buckets=SECONDS_BUCKETS,
    ),
)
REQUESTS = cast(
    Counter,
    _once(
        Counter,
        "rerank_requests_total",
        "Requests by how they ended; a submitted one ends with collect().",
        ["class", "outcome"],
    ),
)
CACHE_PAIRS = cast(Counter, _once(Counter, "rerank_cache_pairs_total", "Pairs looked up in the cache.", ["result"]))
JOBS_SENT_AGAIN = cast(
    Counter,
    _once(
        Counter,
        "rerank_jobs_sent_again_total",
        "Jobs that a waiting client sent once more: late ones (hedged), lost ones, and those whose text was lost.",
        ["class", "reason"],
    ),
)
REQUESTS_RESCORED = cast(
    Counter,
    _once(
        Counter,
        "rerank_requests_rescored_total",
        "Requests that were scored again as a whole, since the fleet's model changed meanwhile.",
    ),
)
ROUTED_REQUESTS = cast(
    Counter,
    _once(
        Counter,
        "rerank_routed_requests_total",
        "Requests that came by a route, by its name and the model that it led to; none of names that are no route.",
        ["route", "target"],
    ),
)
FUSED_REQUESTS = cast(
    Counter,
    _once(
        Counter,
        "rerank_fused_requests_total",
        "Answers ordered by the model's score fused with the first stage's, by the method that was applied.",
        ["method"],
    ),
)
FUSION_RATIO = cast(
    Histogram,
    _once(
        Histogram,
        "rerank_fusion_ratio",
        "Factor that brought first-stage scores to the scale of logits: learned, given or the request's own.",
        ["method"],
        buckets=_RATIO_BUCKETS,
    ),
)
FEEDBACK = cast(
    Counter,
    _once(
        Counter,
        "rerank_feedback_total",
        "Calls that told of feedback: stored, invalid, dropped (too many waited), or lost (Redis did not take it).",
        ["outcome"],
    ),
)
_SHADOW = ["route", "shadow"]
SHADOW_REQUESTS = cast(
    Counter,
    _once(
        Counter,
        "rerank_shadow_requests_total",
        "Requests of the sample of a route's shadow: compared, or dropped, by reason.",
        [*_SHADOW, "outcome"],
    ),
)
SHADOW_DIFFERENCE = cast(
    Histogram,
    _once(
        Histogram,
        "rerank_shadow_difference",
        "Absolute difference of the relevance scores that live model and shadow gave a pair.",
        _SHADOW,
        buckets=_DIFFERENCE_BUCKETS,
    ),
)
SHADOW_SPEARMAN_DISTANCE = cast(
    Histogram,
    _once(
        Histogram,
        "rerank_shadow_spearman_distance",
        "1 less the rank correlation (Spearman) of live model and shadow over a request's documents: 0 to 2.",
        _SHADOW,
        buckets=_SPEARMAN_DISTANCE_BUCKETS,
    ),
)
SHADOW_OVERLAP = cast(
    Histogram,
    _once(
        Histogram,
        "rerank_shadow_overlap",
        "Share of the live top 10 that is in the shadow's top 10 too.",
        _SHADOW,
        buckets=_SHARE_BUCKETS,
    ),
)
SHADOW_ORDER = cast(
    Histogram,
    _once(
        Histogram,
        "rerank_shadow_order",
        "Share of the pairs of the live top 10 that the shadow has in the same order.",
        _SHADOW,
        buckets=_SHARE_BUCKETS,
    ),
)
SHADOW_SAME_FIRST = cast(
    Counter,
    _once(
        Counter,
        "rerank_shadow_same_first_total",
        "Compared requests in which live model and shadow put the same document first.",
        _SHADOW,
    ),
)
SHADOW_TRUNCATED = cast(
    Counter,
    _once(
        Counter,
        "rerank_shadow_truncated_pairs_total",
        "Compared pairs that a model had to cut, by side: live or shadow.",
        [*_SHADOW, "side"],
    ),
)
SHADOW_TOKENS = cast(
    Counter,
    _once(
        Counter,
        "rerank_shadow_tokens_total",
        "Tokens of compared pairs, run or cached, by side: live or shadow.",
        [*_SHADOW, "side"],
    ),
)
SHADOW_SECONDS = cast(
    Counter,
    _once(
        Counter,
        "rerank_shadow_seconds_total",
        "Seconds for which a process runs the compared pairs, by the cost that workers measured, by side.",
        [*_SHADOW, "side"],
    ),
)


@dataclass(slots=True)
class Watch:
    """A watched call, which sets its `response` if it has one. None: it ends without a response or an error.

    `target` is where it went, as soon as that is known.
    """

    job_class: str
    response: RerankResponse | None = None
    target: Target | None = None


@contextmanager
def watched(job_class: object) -> Iterator[Watch]:
    """Count the outcome of the call inside the block."""
    watch = Watch(str(job_class) if job_class in JOB_CLASSES else "unknown")
    try:
        yield watch
    except BaseException as error:
        REQUESTS.labels(watch.job_class, outcome_of(error)).inc()
        raise
    if watch.response is not None:
        REQUESTS.labels(watch.job_class, "complete" if watch.response.complete else "partial").inc()


def outcome_of(error: BaseException) -> str:
    """Return the label of the error that ended a request."""
    if not isinstance(error, Exception):
        return "cancelled"
    return next((label for kind, label in _OUTCOMES if isinstance(error, kind)), "failed")


def observe_request(job_class: str, k: int, hits: int, seconds: float) -> None:
    """Record the duration of an answered request of `k` documents; a request without documents is not counted."""
    if k:
        cache = "cold" if hits == 0 else "hot" if hits == k else "warm"
        REQUEST_SECONDS.labels(job_class, k_bucket(k), cache).observe(seconds)


def observe_lookup(hits: int, misses: int) -> None:
    """Record the hits and misses of a cache look-up."""
    CACHE_PAIRS.labels("hit").inc(hits)
    CACHE_PAIRS.labels("miss").inc(misses)


def observe_fusion(response: RerankResponse) -> None:
    """Count an answer that was fused, and record the ratio that was in force, if its method has one."""
    fusion = response.fusion
    if fusion is None or not any(result.scored for result in response.results):
        return
    FUSED_REQUESTS.labels(fusion.applied).inc()
    if fusion.ratio is not None:
        FUSION_RATIO.labels(fusion.applied).observe(fusion.ratio)


def observe_shadow(route: str, shadow: str, agreement: Agreement, costs: Mapping[Side, Cost]) -> None:
    """Record a request that a shadow has scored too."""
    of_pairs = SHADOW_DIFFERENCE.labels(route, shadow)
    for difference in agreement.differences:
        of_pairs.observe(difference)
    # No sum of a histogram may fall, so none may hold what is below 0.
    SHADOW_SPEARMAN_DISTANCE.labels(route, shadow).observe(max(0.0, 1 - agreement.spearman))
    SHADOW_OVERLAP.labels(route, shadow).observe(agreement.overlap)
    SHADOW_ORDER.labels(route, shadow).observe(agreement.order)
    SHADOW_SAME_FIRST.labels(route, shadow).inc(agreement.same_first)
    for side, cost in costs.items():
        SHADOW_TRUNCATED.labels(route, shadow, side).inc(cost.truncated)
        SHADOW_TOKENS.labels(route, shadow, side).inc(cost.tokens)
        SHADOW_SECONDS.labels(route, shadow, side).inc(cost.seconds or 0.0)


def k_bucket(k: int) -> str:
    """Return the label of a number of documents."""
    return next((label for limit, label in _K_BUCKETS if k <= limit), _LARGEST_K)
