"""The overview: what callers see, what waits, the processes, the cache and Redis."""

from __future__ import annotations

from rerank_dev.mixin.boards.dashboard import Dashboard, Row
from rerank_dev.mixin.boards.panel import DEATHS, STAT, Panel, Query
from rerank_dev.mixin.boards.routes import ROUTES, SHADOWS
from rerank_ops.mixin.alerts import alert
from rerank_ops.mixin.rules import CALLERS, SHARES

_REQUESTS = "rate(rerank_requests_total{{_{}}}[$__rate_interval])"
#: Interactive requests that did not end by their caller's doing.
_ENDED = "sum(" + _REQUESTS.format(f', class="interactive", outcome!~"{CALLERS}"') + ")"
_DRAIN_S = alert("RerankDrainOverTarget").limits["seconds"]


def _share(outcomes: str) -> str:
    some = _REQUESTS.format(f', class="interactive", outcome=~"{outcomes}"')
    return f"(sum({some}) or 0 * {_ENDED}) / {_ENDED}"


def _p95(by: str) -> str:
    buckets = 'rate(rerank_request_seconds_bucket{_, class="interactive"}[$__rate_interval])'
    return f"histogram_quantile(0.95, sum by ({by}, le) ({buckets}))"


_HIT_RATE = (
    'sum(rate(rerank_cache_pairs_total{_, result="hit"}[$__rate_interval]))'
    " / sum(rate(rerank_cache_pairs_total{_}[$__rate_interval]))"
)


_NOW = Row(
    "Now",
    (
        Panel(
            "Answered",
            "Requests that ended with an answer, complete or partial, in all gateways and clients that are scraped.",
            "reqps",
            [Query("sum(" + _REQUESTS.format(', outcome=~"complete|partial"') + ")", "answered")],
            **STAT,
        ),
        Panel(
            "Failed",
            "Share of interactive requests that ended with an error of the fleet. Red: RerankRequestsFailed.",
            "percentunit",
            [Query(_share(SHARES["failed"]), "failed")],
            **STAT,
            alarm=alert("RerankRequestsFailed").limits["share"],
        ),
        Panel(
            "All done in",
            "Predicted seconds until all waiting work is done, by the rate that the fleet has measured of itself.",
            "s",
            [Query("max(rerank_predicted_drain_seconds{_})", "drain")],
            **STAT,
            warn=_DRAIN_S,
            alarm=10 * _DRAIN_S,
        ),
        Panel(
            "Processes ready",
            "Worker processes that are alive and warm. Compare with how many are wanted, below.",
            "short",
            [Query("max(rerank_workers{_})", "ready")],
            **STAT,
            alarm=1,
            low=True,
        ),
        Panel(
            "Cache hit rate",
            "Share of pairs whose score was cached.",
            "percentunit",
            [Query(_HIT_RATE, "hit rate")],
            **STAT,
        ),
        Panel(
            "Redis",
            "1: every gateway and supervisor can use Redis. 0: one of them can't.",
            "short",
            [Query("min(rerank_redis_up{_})", "up")],
            **STAT,
            alarm=1,
            low=True,
        ),
    ),
)
_CALLS = Row(
    "What callers see",
    (
        Panel(
            "Requests by outcome",
            "complete and partial are answers. refused and deadline: the fleet was too slow. failed, lost, poisoned "
            "and unavailable: something is broken. invalid and cancelled are the caller's.",
            "reqps",
            [Query("sum by (outcome) (" + _REQUESTS.format("") + ")", "{{outcome}}")],
            stacked=True,
        ),
        Panel(
            "P95 by number of documents",
            "95 of 100 interactive requests were answered within this time. Each size has a budget: "
            "RerankP95OverBudget.",
            "s",
            [Query(_p95("k"), "{{k}}")],
        ),
        Panel(
            "P95 by cache",
            "The same by how much was cached: hot all pairs, warm some, cold none. Where only cold is slow, the "
            "workers are; where hot is slow too, Redis or the gateway is.",
            "s",
            [Query(_p95("cache"), "{{cache}}")],
        ),
        Panel(
            "Shares of requests without a full answer",
            "Interactive requests: failed with an error, refused at once, or late (partial, or past the deadline).",
            "percentunit",
            [Query(_share(outcomes), name) for name, outcomes in SHARES.items()],
            width=12,
        ),
        Panel(
            "Jobs sent again by clients",
            "late: sent to an idle process beside the first one (hedged). lost and text_lost: Redis forgot the job or "
            "its text, by a restart or an eviction.",
            "reqps",
            [Query("sum by (reason) (rate(rerank_jobs_sent_again_total{_}[$__rate_interval]))", "{{reason}}")],
            width=12,
        ),
    ),
)
_QUEUE = Row(
    "What waits",
    (
        Panel(
            "Jobs",
            "Unanswered jobs by class: queued jobs wait in Redis, held jobs are in worker processes.",
            "short",
            [Query("max by (class, state) (rerank_queue_jobs{_})", "{{class}} {{state}}")],
            width=6,
            stacked=True,
        ),
        Panel(
            "Oldest job",
            "Age of the oldest unanswered job. It should stay far below the deadlines of its class: RerankQueueOld.",
            "s",
            [Query("max by (class) (rerank_queue_oldest_age_seconds{_})", "{{class}}")],
            width=6,
            warn=alert("RerankQueueOld").limits["interactive_s"],
        ),
        Panel(
            "Done in",
            "Predicted seconds until the backlog of a class is done, if it were alone. The dashed line is the limit of "
            "RerankDrainOverTarget, for interactive work.",
            "s",
            [Query("max by (class) (rerank_queue_drain_seconds{_})", "{{class}}")],
            width=6,
            warn=_DRAIN_S,
        ),
        Panel(
            "Waiting tokens",
            "Estimated tokens of unanswered jobs.",
            "short",
            [Query("max by (class) (rerank_queue_tokens{_})", "{{class}}")],
            width=6,
            stacked=True,
        ),
    ),
)
_POOLS = Row(
    "Pools",
    (
        Panel(
            "Jobs by pool",
            "Unanswered jobs. A pool is the processes of one model in one precision.",
            "short",
            [Query("max by (model, pool) (sum without (class) (rerank_pool_queue_jobs{_}))", "{{model}} {{pool}}")],
            width=8,
            stacked=True,
        ),
        Panel(
            "Done in, by pool",
            "Predicted seconds until the backlog of a pool is done, without the jobs of other pools.",
            "s",
            [Query("max by (model, pool) (rerank_pool_drain_seconds{_})", "{{model}} {{pool}}")],
            width=8,
        ),
        Panel(
            "Processes by pool",
            "Live worker processes. A process with several models counts in each of its pools.",
            "short",
            [Query("max by (model, pool) (rerank_pool_workers{_})", "{{model}} {{pool}}")],
            width=8,
        ),
    ),
)
_PROCESSES = Row(
    "Processes",
    (
        Panel(
            "Ready, busy, wanted",
            "Worker processes alive, running work (mean of half a minute), and wanted by the autoscaling signal. "
            "Wanted above ready for long: the autoscaler does not follow, or is at its limit.",
            "short",
            [
                Query("max(rerank_workers{_})", "ready"),
                Query("max(rerank_processes_busy{_})", "busy"),
                Query("max(rerank_processes_wanted{_})", "wanted"),
            ],
        ),
        Panel(
            "Busy by class",
            "Processes that ran work of each class. Bulk work fills what interactive work leaves.",
            "short",
            [Query("sum by (class) (rate(rerank_busy_seconds_total{_}[$__rate_interval]))", "{{class}}")],
            stacked=True,
        ),
        Panel(
            "Tokens",
            "Tokens that the model ran, and the rate that all live processes reach together while they run.",
            "suffix: tokens/s",
            [
                Query("sum(rate(rerank_tokens_run_total{_}[$__rate_interval]))", "run"),
                Query("max(rerank_fleet_tokens_per_second{_})", "possible"),
            ],
        ),
        Panel(
            "Pairs of a batch",
            "Pairs that the model ran at once, on average. More while more waits; one run is cheaper than many.",
            "short",
            [
                Query(
                    "sum(rate(rerank_batch_pairs_sum{_}[$__rate_interval]))"
                    " / sum(rate(rerank_batch_pairs_count{_}[$__rate_interval]))",
                    "mean",
                )
            ],
        ),
        Panel(
            "P95 by stage",
            "Where interactive jobs spend their time: in the queue, being tokenized, waiting for a batch, being run.",
            "s",
            [
                Query(
                    "histogram_quantile(0.95, sum by (stage, le) "
                    '(rate(rerank_stage_seconds_bucket{_, class="interactive"}[$__rate_interval])))',
                    "{{stage}}",
                )
            ],
        ),
        DEATHS,
    ),
)
_STORE = Row(
    "Cache and Redis",
    (
        Panel(
            "Cache hit rate",
            "Share of pairs whose score was cached: RerankCacheCollapse. A new model begins at zero.",
            "percentunit",
            [Query(_HIT_RATE, "hit rate")],
            width=6,
        ),
        Panel(
            "Pairs looked up",
            "Pairs that requests asked for, by whether their score was cached.",
            "suffix: pairs/s",
            [Query("sum by (result) (rate(rerank_cache_pairs_total{_}[$__rate_interval]))", "{{result}}")],
            width=6,
            stacked=True,
        ),
        Panel(
            "Redis memory",
            "Memory that Redis uses, that of the cached scores by a sample, and the limit. At the limit Redis gives up "
            "cached scores, or refuses jobs where its policy is noeviction: RerankRedisMemory.",
            "bytes",
            [
                Query("max(rerank_redis_memory_used_bytes{_})", "used"),
                Query("max(rerank_cache_estimated_bytes{_})", "cached scores"),
                Query("max(rerank_redis_memory_limit_bytes{_})", "limit"),
            ],
            width=6,
        ),
        Panel(
            "Evicted keys",
            "Keys that Redis gave up to make room. Cached scores under volatile-lru, the recommended policy.",
            "suffix: keys/s",
            [Query("max(rate(rerank_redis_evicted_keys_total{_}[$__rate_interval]))", "evicted")],
            width=6,
        ),
    ),
)
FLEET = Dashboard(
    "rerank-fleet",
    "Rerank Fleet / Overview",
    "What callers see, what waits, and whether there are processes enough.",
    "rerank_redis_up",
    (_NOW, _CALLS, _QUEUE, _POOLS, _PROCESSES, _STORE, ROUTES, SHADOWS),
)
