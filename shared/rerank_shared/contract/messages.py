"""What travels between producers and workers, as frozen dataclasses. `wire.py` turns them into bytes and back.

Times that cross a process are epoch seconds; a process turns them into its own monotonic clock on arrival.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rerank_shared.contract.token_ids import Content
from rerank_shared.keys import CacheScope, JobClass


def cache_tenant(scope: CacheScope, tenant: str) -> str | None:
    """Return whose alone scores are in the cache; None where the fleet shares them."""
    return tenant if scope == "tenant" else None


@dataclass(frozen=True, slots=True)
class Job:
    """The uncached part of one request, as it lies on the queue.

    `documents` is None when they lie under their own key (claim check); `max_length` None means the model's; `tokens`,
    `tokens_longest` (the sum of each pair's tokens squared) and `pairs` are the client's estimate of the work, as it
    stands in the ledger; `tokenizer_digest` says which tokenizer made the documents that are token ids, and is needed
    where one is. `tenant` shares the fleet with others by tokens; `partial` says that the caller takes what is scored
    in time; `due_at` is how urgent the job is (scheduling/urgency.py), 0 where the sender did not say; `cache_scope`
    says whether the fleet shares its scores or its tenant alone has them.
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

    @property
    def cache_tenant(self) -> str | None:
        """Whose alone its scores are in the cache; None where the fleet shares them."""
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
    """What a worker answers for a job: a Score, or None where the deadline came first, per document in order.

    `batch_pairs` are the sizes of the batches that this job's pairs ran in, in the order they ran.
    """

    job_id: str
    scores: tuple[Score | None, ...]
    artefact: Artefact
    worker: str
    stages: Stages = field(default_factory=Stages)
    batch_pairs: tuple[int, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every document was scored."""
        return all(score is not None for score in self.scores)


@dataclass(frozen=True, slots=True)
class Artefact:
    """The identity of what a worker serves. Two that differ in digests, precision, template or truncation never share
    a cached score; the name, the activation (applied on reading) and the largest max_length do not change a score."""

    model: str
    model_digest: str
    tokenizer_digest: str
    precision: str
    template: str
    max_length: int
    truncation: str
    activation: str


@dataclass(frozen=True, slots=True)
class Claim:
    """That a pair is in flight: the job that scores it, and when its answer should be there (epoch seconds)."""

    job_id: str
    until: float


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A job that was set aside: its message as it lay on the queue, how often it was lost, and who held it last."""

    job_id: str
    queue: str
    message: str
    deaths: int
    holder: str
    died_at: float


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A worker process as it last described itself. `pairs_per_batch` is the mean of its recent batches, 0 before the
    first."""

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


@dataclass(frozen=True, slots=True)
class Submitted:
    """A request that was submitted for later collection: all that is needed to build its response without its text.

    `misses[i]` is the index in the request of the job's i-th document; `hits` are the scores found in the cache.
    `entry` is the job's entry in the ledger, '' where there is no job or an older release wrote this.
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
    artefact: Artefact | None
    tenant: str = ""
    entry: str = ""
