"""Metrics of a worker process. Counters and histograms only, so that the supervisor can add up its processes.

Buckets grow by a factor of 2 for sizes, and by 1.5 for seconds and ratios.
"""

from __future__ import annotations

from rerank_worker.counting.collectors import Counter, Histogram

SIZE_BUCKETS = tuple(float(2**n) for n in range(15))
RATIO_BUCKETS = tuple(round(0.01 * 1.5**n, 6) for n in range(18))
SECONDS_BUCKETS = tuple(round(0.001 * 1.5**n, 6) for n in range(28))

STAGE_SECONDS = Histogram(
    "rerank_stage_seconds",
    "Time of a job in one stage of the worker: queue, tokenize, batch (waiting for its batch), run.",
    ["stage", "class"],
    buckets=SECONDS_BUCKETS,
)
JOBS = Counter("rerank_jobs", "Jobs that this worker answered.", ["class", "outcome"])
JOBS_AGAIN = Counter(
    "rerank_jobs_delivered_again",
    "Jobs that came once more, since their worker died or their client sent them again: run, or answered before.",
    ["class", "result"],
)
JOBS_FILED = Counter(
    "rerank_jobs_filed",
    "Jobs of models that this worker does not serve, moved to the queue of a pool that does.",
    ["class"],
)
JOBS_DROPPED = Counter("rerank_jobs_dropped", "Jobs that ended before all their pairs were scored.", ["reason"])
BATCH_PAIRS = Histogram("rerank_batch_pairs", "Pairs of a batch.", buckets=SIZE_BUCKETS)
BATCH_TOKENS = Histogram("rerank_batch_tokens", "Tokens of a batch, without padding.", buckets=SIZE_BUCKETS)
PAIRS_RUN = Counter("rerank_pairs_run", "Pairs that the model scored.")
PAIRS_JOINED = Counter("rerank_pairs_joined", "Pairs that waited for an equal pair already in flight.")
PAIRS_FAILED = Counter("rerank_pairs_failed", "Pairs that the model could not score.")
TOKENS_RUN = Counter("rerank_tokens_run", "Tokens that the model ran.")
BUSY_SECONDS = Counter(
    "rerank_busy_seconds", "Seconds that processes ran work; its rate is how many are busy.", ["class"]
)
PAIRS_TRUNCATED = Counter("rerank_pairs_truncated", "Pairs that the model scored with a part of their text cut off.")
PADDING_RUN = Counter("rerank_padding_tokens_run", "Padding that the model ran beside the tokens; layout padded alone.")
TOKEN_CACHE = Counter("rerank_token_cache_documents", "Documents looked up in the token cache.", ["result"])
MESSAGES_REFUSED = Counter("rerank_messages_refused", "Messages refused: content type, broken body or unknown task.")
JOBS_POISONED = Counter("rerank_jobs_poisoned", "Jobs set aside because the workers that took them died.")
COST_ERROR = Histogram(
    "rerank_cost_error_ratio",
    "How far a run's predicted time was off: |predicted - actual| / actual.",
    buckets=RATIO_BUCKETS,
)
