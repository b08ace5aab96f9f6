"""The only place that spells a Redis key. Each method names the key's type, its owner and its life-time.

Every key starts with the namespace, so two fleets (or two tests) on one server never meet. No key lives for ever:
whatever has no life-time of its own is a queue, which the broker deletes when it is empty, or a counter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

JobClass = Literal["interactive", "bulk"]
JOB_CLASSES: tuple[JobClass, ...] = ("interactive", "bulk")


@dataclass(frozen=True, slots=True)
class Keys:
    """Spells the keys of one namespace."""

    namespace: str

    @property
    def prefix(self) -> str:
        """What every key starts with; the broker and the result backend prepend it to their own keys."""
        return f"{self.namespace}:"

    def queue(self, job_class: JobClass) -> str:
        """List; the broker; until consumed. Jobs of a class that no worker has taken, without the prefix."""
        return f"jobs.{job_class}"

    def queue_list(self, job_class: JobClass) -> str:
        """List; the broker; until consumed. `queue()` as it stands in Redis."""
        return self.prefix + self.queue(job_class)

    @property
    def unacked(self) -> str:
        """Hash; the broker; until acknowledged. Jobs that workers have taken and not finished."""
        return f"{self.prefix}unacked"

    @property
    def leases(self) -> str:
        """Sorted set, member = delivery tag, score = when it was taken; the broker; until acknowledged. A worker renews
        the score while it holds the job, so that only a dead worker's jobs are delivered again."""
        return f"{self.prefix}unacked_index"

    def result(self, job_id: str) -> str:
        """String; the worker; `result_ttl_s`. A job's outcome. Also the channel on which it is announced."""
        return f"{self.prefix}celery-task-meta-{job_id}"

    def reply(self, client_id: str) -> str:
        """Channel, no key; a client process; while it is subscribed. Outcomes of that client's jobs."""
        return f"{self.prefix}reply:{client_id}"

    def is_reply(self, channel: str | None) -> bool:
        """Whether a message's `reply_to` is such a channel; plain Celery callers send one of their own that is not."""
        return channel is not None and channel.startswith(self.reply(""))

    def text(self, job_id: str) -> str:
        """String; the client; until the job's deadline and redelivery. Documents too large for the queue."""
        return f"{self.prefix}text:{job_id}"

    def request(self, job_id: str) -> str:
        """String; the client; deadline + `result_ttl_s`. What collect() needs to rebuild a submitted request."""
        return f"{self.prefix}request:{job_id}"

    def ledger(self, job_class: JobClass) -> str:
        """Sorted set, member `job_id|tokens`, score = when it stops counting; clients add, workers remove."""
        return f"{self.prefix}ledger:{job_class}"

    def score(self, digest: bytes) -> bytes:
        """String of 7 bytes; the worker; `cache_ttl_s`. One pair's logit, token count and truncation."""
        return self.score_prefix + digest

    @property
    def score_prefix(self) -> bytes:
        """What every cached score's key starts with."""
        return f"{self.prefix}score:".encode()

    @property
    def cache_counters(self) -> str:
        """Hash hits, misses; clients; deleted by `cache clear`. Look-ups over the life of the cache."""
        return f"{self.prefix}cache"

    def artefact(self, model: str) -> str:
        """String; workers; `ARTEFACT_TTL_S`. The artefact that is served under a model's name."""
        return f"{self.prefix}artefact:{model}"

    @property
    def models(self) -> str:
        """Sorted set, member = model, score = when its announcement ends; workers."""
        return f"{self.prefix}models"

    def worker(self, worker_id: str) -> str:
        """String; that worker process; `HEARTBEAT_TTL_S`. Its heartbeat."""
        return f"{self.prefix}worker:{worker_id}"

    @property
    def workers(self) -> str:
        """Sorted set, member = worker id, score = when its heartbeat ends; workers."""
        return f"{self.prefix}workers"

    def rate(self, model: str) -> str:
        """String, tokens/s of one process; workers; `RATE_TTL_S`. Lets a fleet scaled to 0 predict its drain time."""
        return f"{self.prefix}rate:{model}"


#: A worker announces itself this often.
HEARTBEAT_INTERVAL_S = 1.0
#: Five missed heartbeats: the process is dead, frozen or cut off.
HEARTBEAT_TTL_S = 5
#: Outlives its workers, so that cached requests are answered while a fleet restarts or is scaled to 0.
ARTEFACT_TTL_S = 86_400
RATE_TTL_S = 7 * 86_400
