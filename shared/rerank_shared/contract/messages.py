"""The messages between producers and workers, as frozen dataclasses. `wire.py` turns them into bytes and back.

The order of the fields is that of the wire. A new field stands last and has a default, since older releases neither
write nor read it.

Times that cross a process are epoch seconds; a process turns them into its own monotonic clock on arrival.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

from rerank_shared.contract.token_ids import Content
from rerank_shared.keys import CacheScope, FirstStageOrder, FusionMethod, JobClass
from rerank_shared.model_names import name_of as name_of


def cache_tenant(scope: CacheScope, tenant: str) -> str | None:
    """Return the tenant that alone may read the cached scores; None where the fleet shares them."""
    return tenant if scope == "tenant" else None


@dataclass(frozen=True, slots=True)
class Job:
    """The uncached documents of a request, or one shard of them, as they lie on the queue.

    - `documents`: None where they lie under their own key (claim check).
    - `max_length`: tokens that a pair is cut to; None means the model's.
    - `tokens`, `tokens_longest` (the sum of each pair's tokens squared), `pairs`: the client's estimate of the work.
    - `tokenizer_digest`: the tokenizer that made the documents that are token ids; needed where one is.
    - `tenant`: tenants share the fleet by tokens.
    - `partial`: whether the caller takes a partial answer.
    - `due_at`: urgency in epoch seconds (scheduling/urgency.py); 0 where the sender set none.
    - `cache_scope`: who may read its cached scores, the fleet or its tenant alone.
    - `pool`: the pool whose queue it was sent to and in whose backlog it counts; '' is the common queue.
    """

    job_id: str
    job_class: JobClass
    model: str
    query: str
    documents: tuple[Content, ...] | None
    max_length: int | None
    enqueued_at: float
    deadline_at: float
    attempt: int = 1
    tokens: int = 0
    tokenizer_digest: str | None = None
    tenant: str = ""
    partial: bool = True
    pairs: int = 0
    tokens_longest: int = 0
    due_at: float = 0.0
    cache_scope: CacheScope = "fleet"
    pool: str = ""

    @property
    def cache_tenant(self) -> str | None:
        """The tenant that alone may read its cached scores; None where the fleet shares them."""
        return cache_tenant(self.cache_scope, self.tenant)


@dataclass(frozen=True, slots=True)
class Score:
    """One scored pair: its raw logit, the tokens it cost (after truncation) and whether text was cut."""

    logit: float
    tokens: int
    truncated: bool


@dataclass(frozen=True, slots=True)
class Stages:
    """Where a job's time went, in milliseconds. Stages of the worker only; the client adds its own."""

    queue_ms: float = 0.0
    tokenize_ms: float = 0.0
    batch_ms: float = 0.0
    run_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """A worker's answer to a job: one Score a document, in order; None where the deadline came first.

    `batch_pairs` are the sizes of the batches that the job's pairs ran in, in the order of running.
    """

    job_id: str
    scores: tuple[Score | None, ...]
    identity: ScoringIdentity
    worker: str
    stages: Stages = field(default_factory=Stages)
    batch_pairs: tuple[int, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every document was scored."""
        return all(score is not None for score in self.scores)


@dataclass(frozen=True, slots=True)
class ScoringIdentity:
    """A served model, as a worker announces it: all that a score depends on, and how to present it.

    A cached score depends on both digests, precision, template and truncation (contract/digest.py). The name, the
    activation (applied on reading) and the largest max_length do not change a score.
    """

    model: str
    model_digest: str
    tokenizer_digest: str
    precision: str
    template: str
    max_length: int
    truncation: str
    activation: str


@dataclass(frozen=True, slots=True)
class PairClaim:
    """A claim on a pair in flight: the job that scores it, and when its answer should be there (epoch seconds)."""

    job_id: str
    until: float


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A job that was set aside: its message as it lay on the queue, its deaths, and the last owner of its lease."""

    job_id: str
    queue: str
    message: str
    deaths: int
    owner: str
    died_at: float


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A worker process's sign of life. `pairs_per_batch` is the mean of its recent batches, 0 before the first.

    `pools` are those whose jobs it takes, none from an earlier release.
    """

    worker_id: str
    model: str
    host: str
    pid: int
    core: int | None
    started_at: float
    tokens_per_s: float
    held_jobs: int
    held_tokens: int
    pairs_per_batch: float = 0.0
    pools: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Fusion:
    """How a request's first-stage scores count; see rerank_producer.fusion.methods.

    - `method`: never "none", for which a request has no Fusion.
    - `weight`: how much the first stage counts; it may be infinite.
    - `scores`: one a document, as they were sent; empty where the order of the documents stands for them.
    - `order`: "ascending" where smaller first-stage scores are better, as distances are.
    - `ratio`: logits' deviation over that of first-stage scores; None: each request's own.
    - `learned_requests`: the number of requests that `ratio` was learned from; None: it was given.
    - `first_stage`: its name.
    - `learned_under`: the Redis key of what the ratio is learned from; '' where it is not learned.
    """

    method: FusionMethod
    weight: float
    scores: tuple[float | None, ...]
    order: FirstStageOrder = "descending"
    ratio: float | None = None
    learned_requests: int | None = None
    first_stage: str = ""
    learned_under: str = ""


@dataclass(frozen=True, slots=True)
class Deviations:
    """Geometric means, over `requests` requests, of the standard deviations of logits and of first-stage scores."""

    requests: int
    logit: float
    first_stage: float

    @property
    def ratio(self) -> float:
        """The factor that brings first-stage scores to the scale of logits."""
        return min(self.logit / self.first_stage, sys.float_info.max)


@dataclass(frozen=True, slots=True)
class StoredRequest:
    """A request without its text: all that is needed to build its response. `submit` stores it in Redis.

    `misses[i]` is the index in the request of the job's i-th document; `hits` are the cached scores by index. `entry`
    is the job's backlog entry, '' where there is no job or an older release wrote this, and `pool` that of the job.
    `fusion` is None where the model's scores alone count. `route` is the name of the route that led to `model`, None
    where the request named it.
    """

    job_id: str
    job_class: JobClass
    model: str
    ids: tuple[str | None, ...]
    hits: dict[int, Score]
    misses: tuple[int, ...]
    top_n: int | None
    submitted_at: float
    deadline_at: float
    identity: ScoringIdentity | None
    tenant: str = ""
    entry: str = ""
    fusion: Fusion | None = None
    route: str | None = None
    route_version: int | None = None
    pool: str = ""


@dataclass(frozen=True, slots=True)
class RouteRecord:
    """A version of a route as it lies in Redis.

    - `spec`: its fields as JSON (routing/spec.py); '' where this version deletes the route.
    - `set_by`, `set_on`, `set_at`: who wrote it ("operator" or "file"), on which host, when (epoch seconds).
    - `file_digest`: that of the route in fleet.toml that was last taken over; '' where none was.
    """

    name: str
    version: int
    spec: str
    set_by: str
    set_on: str
    set_at: float
    file_digest: str = ""

    @property
    def deleted(self) -> bool:
        """Whether this version deletes the route."""
        return not self.spec


@dataclass(frozen=True, slots=True)
class Feedback:
    """What one searcher was shown, and what was clicked of it, as far as one call tells.

    - `shown`: ids of documents in the order in which they were shown.
    - `clicked`: ranks in it, from 1, ascending.
    - `query_id`: the caller's name of the query; `query_digest`: that of its text, '' where none was told.
    - `swapped_rank`: results at this rank and the next had changed places; 0: none.
    - `query`, `texts`: as they were told, one text a shown document; only where the settings say so.
    """

    request_id: str
    shown: tuple[str, ...]
    clicked: tuple[int, ...]
    tenant: str = ""
    query_id: str | None = None
    query_digest: str = ""
    swapped_rank: int = 0
    query: str | None = None
    texts: tuple[str | None, ...] = ()

    def __post_init__(self) -> None:
        """Raises ValueError for parts that do not fit."""
        if not all(1 <= rank <= len(self.shown) for rank in self.clicked):
            raise ValueError("a click on a rank where nothing was shown")
        if self.texts and len(self.texts) != len(self.shown):
            raise ValueError("one text for each shown document expected")
        if self.swapped_rank < 0:
            raise ValueError("swapped_rank: a rank, or 0, expected")
