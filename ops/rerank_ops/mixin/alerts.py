"""The alerts. Each has a heading of its own name in docs/runbook.md, which tells what to do."""

from __future__ import annotations

from rerank_ops.mixin.alert import Alert
from rerank_ops.mixin.rules import TARGET

_ANSWERS = (
    Alert(
        "RerankP95OverBudget",
        "warning",
        "(k:rerank_request_seconds:p95_rate5m > on (k) group_left () k:rerank_request_seconds:p95_budget)"
        " and k:rerank_request_seconds:increase5m >= $requests",
        for_minutes=10,
        limits={"requests": 20},
        reason="Of fewer than 20 requests the 95th percentile is the slowest one. In ten minutes an autoscaled fleet "
        "has grown.",
        summary="Interactive requests of {{ $labels.k }} documents are slow.",
        description="Five of 100 requests take longer than {{ $value | humanizeDuration }}, over the budget of their "
        "size.",
    ),
    Alert(
        "RerankRequestsFailed",
        "critical",
        "fleet:rerank_requests_failed:ratio_rate5m > $share",
        for_minutes=5,
        limits={"share": 0.01},
        reason="A fleet that loses workers one by one loses no request. Of single failures, one in 100 is many.",
        summary="Interactive requests end with errors.",
        description="{{ $value | humanizePercentage }} of the requests fail: Redis is away or refuses, the model "
        "fails, or jobs are lost.",
    ),
    Alert(
        "RerankRequestsRefused",
        "warning",
        "fleet:rerank_requests_refused:ratio_rate5m > $share",
        for_minutes=10,
        limits={"share": 0.02},
        reason="`rerank-fleet plan` allows one in 200; this is four times as many. Refusal is made for short bursts.",
        summary="Interactive requests are refused, since their answers would be late.",
        description="{{ $value | humanizePercentage }} of the requests are refused. The fleet is too small for its "
        "load, or the deadlines are too short.",
    ),
    Alert(
        "RerankRequestsLate",
        "warning",
        "fleet:rerank_requests_late:ratio_rate5m > $share",
        for_minutes=10,
        limits={"share": 0.05},
        reason="An incomplete answer is still an answer, so more of them are borne than of refusals.",
        summary="Interactive requests are answered without all their scores.",
        description="{{ $value | humanizePercentage }} of the requests reached their deadline before every document "
        "was scored.",
    ),
    Alert(
        "RerankCacheCollapse",
        "warning",
        "fleet:rerank_cache_pairs_hit:ratio_rate15m"
        " < $of_usual * avg_over_time(fleet:rerank_cache_pairs_hit:ratio_rate15m[1d])"
        " and avg_over_time(fleet:rerank_cache_pairs_hit:ratio_rate15m[1d]) > $usual"
        " and fleet:rerank_cache_pairs:rate15m > $pairs_per_s",
        for_minutes=15,
        limits={"of_usual": 0.5, "usual": 0.1, "pairs_per_s": 1},
        reason="Below half of a day's mean every pair that was cached is scored again. A cache that finds less than "
        "one pair in ten saves no process, and less than a pair a second is no load.",
        summary="The score cache finds far less than it did.",
        description="The hit rate is {{ $value | humanizePercentage }}, less than half of its mean over a day. The "
        "fleet scores again what it knew.",
    ),
)
_QUEUE = (
    Alert(
        "RerankQueueOld",
        "warning",
        'class:rerank_queue_oldest_age_seconds:max{class="interactive"} > $interactive_s'
        ' or class:rerank_queue_oldest_age_seconds:max{class="bulk"} > $bulk_s',
        for_minutes=2,
        limits={"interactive_s": 15, "bulk_s": 1800},
        reason="Half of the default deadline of each class.",
        summary="A job of class {{ $labels.class }} waits long.",
        description="The oldest job was enqueued {{ $value | humanizeDuration }} ago.",
    ),
    Alert(
        "RerankDrainOverTarget",
        "warning",
        # Infinite while nobody has measured the model: then it is not known, and a fleet without a worker has an alert.
        'class:rerank_queue_drain_seconds:max{class="interactive"} > $seconds < Inf',
        for_minutes=5,
        limits={"seconds": 10},
        reason="Five times the default of RERANK_TARGET_BACKLOG_S, which autoscaling aims at. A process is ready "
        "within a minute, a new machine within a few.",
        summary="The interactive backlog is larger than the fleet.",
        description="At its measured rate the fleet needs {{ $value | humanizeDuration }} for what waits now.",
    ),
    Alert(
        "RerankNoWorker",
        "critical",
        "fleet:rerank_workers:max == 0 and sum without (class, state) (class_state:rerank_queue_jobs:max) > 0",
        for_minutes=2,
        reason="From zero an autoscaler looks every half minute, and a process is warm within another minute.",
        summary="Jobs wait and no worker is alive.",
        description="No worker process has sent a heartbeat for some seconds, and the queue has unanswered jobs.",
    ),
    Alert(
        "RerankFleetTooSmall",
        "warning",
        "fleet:rerank_processes_wanted:max > fleet:rerank_workers:max",
        for_minutes=15,
        reason="An autoscaler that works has followed by then. A fleet of fixed size is too small where this lasts.",
        summary="Fewer worker processes are alive than the fleet wants.",
        description="The fleet has wanted {{ $value | humanize }} worker processes for a while, and has fewer.",
    ),
)
_PROCESSES = (
    Alert(
        "RerankCrashLoop",
        "critical",
        "increase(rerank_supervisor_restarts_total[15m]) > $deaths",
        for_minutes=0,
        limits={"deaths": 5},
        reason="A worker that dies at each start is started every half minute. One bad job kills three workers.",
        summary="Worker processes of {{ $labels.instance }} keep dying.",
        description="{{ $value | humanize }} worker processes died within a quarter of an hour.",
    ),
    Alert(
        "RerankJobsPoisoned",
        "warning",
        "increase(rerank_jobs_poisoned_total[1h]) > 0",
        for_minutes=0,
        reason="Each such job has killed several workers, and its caller got an error.",
        summary="A job was set aside because workers died of it.",
        description="`rerank-fleet dead list` shows the jobs that were set aside within the last hour.",
    ),
)
_PARTS = (
    Alert(
        "RerankRedisDown",
        "critical",
        "rerank_redis_up == 0",
        for_minutes=1,
        reason="A restart or a fail-over of Redis takes some seconds.",
        summary="{{ $labels.instance }} can't use Redis.",
        description="Redis is away or refuses. Requests are answered from nowhere until it is back.",
    ),
    Alert(
        "RerankRedisMemory",
        "warning",
        "fleet:rerank_redis_memory_used:ratio > $share"
        " and fleet:rerank_cache_pairs_miss:ratio_rate15m > 0"
        f" unless max without ({TARGET}) (increase(rerank_redis_evicted_keys_total[1h])) > 0",
        for_minutes=10,
        limits={"share": 0.9},
        reason="A server that gives up cached scores to make room is full all the time, and that is all right. One "
        "that takes new work and gives up nothing refuses jobs when it is full.",
        summary="Redis is near its memory limit and evicts nothing.",
        description="Redis uses {{ $value | humanizePercentage }} of its maxmemory. At the limit it refuses new jobs.",
    ),
    Alert(
        "RerankTargetDown",
        "warning",
        "up == 0 and on (job, instance) present_over_time(rerank_redis_up[1d])",
        for_minutes=5,
        reason="A rolling restart replaces a gateway or a supervisor in less. One that was scaled away is no target.",
        summary="{{ $labels.job }} {{ $labels.instance }} does not answer.",
        description="A gateway or a supervisor that told its metrics within the last day does so no more.",
    ),
    Alert(
        "RerankMetricsAbsent",
        "critical",
        "absent(rerank_redis_up)",
        for_minutes=5,
        reason="As RerankTargetDown.",
        summary="No gateway and no supervisor tells its metrics.",
        description="All are down, or Prometheus does not find them. No other alert of the fleet can fire.",
    ),
)
_FEEDBACK = (
    Alert(
        "RerankFeedbackFull",
        "warning",
        "fleet:rerank_feedback_records:ratio > $share or fleet:rerank_feedback_bytes:ratio > $share",
        for_minutes=15,
        limits={"share": 0.9},
        reason="Records come over days, so a tenth of room is time to act. Beyond the bound the oldest go before their "
        "time.",
        summary="The kept feedback is near its bound.",
        description="It takes {{ $value | humanizePercentage }} of the records or bytes that it may take. At the bound "
        "the oldest records go before RERANK_FEEDBACK_KEEP_DAYS.",
    ),
    Alert(
        "RerankFeedbackLost",
        "warning",
        f'sum without (outcome, {TARGET}) (increase(rerank_feedback_total{{outcome=~"dropped|lost"}}[15m])) > $records',
        for_minutes=0,
        limits={"records": 10},
        reason="A restart of Redis is waited out. A process that ends may lose what it has not written, a few records.",
        summary="Feedback is lost.",
        description="{{ $value | humanize }} calls that told of feedback were dropped or lost within a quarter of an "
        "hour: Redis is away, or at its memory limit, or slower than they come.",
    ),
)
ALERTS = (*_ANSWERS, *_QUEUE, *_PROCESSES, *_PARTS, *_FEEDBACK)
_BY_NAME = {alert.name: alert for alert in ALERTS}


def alert(name: str) -> Alert:
    """Return the alert of that name."""
    return _BY_NAME[name]
