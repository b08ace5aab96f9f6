"""The only place that spells a Redis key. Each method names the key's type, its owner and its life-time.

Every key starts with the namespace, so two fleets (or two tests) on one server never meet. No key lives for ever but
those of routes, which are an operator's to delete. A full server may evict the keys that have a life-time in Redis;
nothing is lost with them, since scores are computed again and the others are written again. The keys that a job needs
have no life-time in Redis: they belong to a queue, which is deleted when it is empty, or they stand in `lifetimes`, by
which every sweep of the queue ends them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

#: Interactive work goes before bulk, which has a share of its own (RERANK_BULK_SHARE).
JobClass = Literal["interactive", "bulk"]
JOB_CLASSES: tuple[JobClass, ...] = ("interactive", "bulk")
#: Who may read a cached score: every caller that asks for the same pair, or its own tenant alone.
CacheScope = Literal["fleet", "tenant"]
CACHE_SCOPES: tuple[CacheScope, ...] = ("fleet", "tenant")
#: How first-stage scores count in an order; see rerank_producer.fusion.methods.
FusionMethod = Literal["none", "weighted", "zscore", "rrf"]
FUSION_METHODS: tuple[FusionMethod, ...] = ("none", "weighted", "zscore", "rrf")
#: Whether larger first-stage scores are better, or smaller ones, as with distances.
FirstStageOrder = Literal["descending", "ascending"]
FIRST_STAGE_ORDERS: tuple[FirstStageOrder, ...] = ("descending", "ascending")


#: What the names of queues start with, in Redis behind the namespace's prefix.
QUEUES = "jobs."
_QUEUE = re.compile(rf"{re.escape(QUEUES)}(?P<job_class>{'|'.join(JOB_CLASSES)})(@(?P<pool>[0-9a-f]+))?")


@dataclass(frozen=True, slots=True)
class Keys:
    """Spells the keys of one namespace.

    `pool` is the id of a pool of workers, '' the common queue, which all workers consume. Each pool has queues,
    workers and a backlog of its own; all other keys are those of the namespace.
    """

    namespace: str
    pool: str = ""

    def of(self, pool: str) -> Keys:
        """Return the keys with the queues, workers and backlog of a pool; '' returns those of the common queue."""
        return self if pool == self.pool else Keys(self.namespace, pool)

    @property
    def _at(self) -> str:
        return f"@{self.pool}" if self.pool else ""

    @property
    def prefix(self) -> str:
        """What every key starts with; the broker and the result backend prepend it to their own keys."""
        return f"{self.namespace}:"

    def queue(self, job_class: JobClass) -> str:
        """List; the broker; until consumed. Jobs of a class that no worker has taken, without the prefix."""
        return f"{QUEUES}{job_class}{self._at}"

    def queue_list(self, job_class: JobClass) -> str:
        """List; the queue; until consumed. `queue()` as it stands in Redis: wake-ups, one a waiting job, on which
        consumers block. A plain Celery sender puts whole messages here; the consumer that pops one files it."""
        return self.prefix + self.queue(job_class)

    def waiting(self, job_class: JobClass) -> str:
        """Hash, delivery tag -> `deliveries|message`; the queue; until consumed. Waiting jobs, and how often each was
        taken before."""
        return f"{self.prefix}waiting:{job_class}{self._at}"

    def order(self, job_class: JobClass, tenant: str) -> str:
        """Sorted set, member `tag|tokens`, score = due_at; the queue; until consumed. A tenant's jobs by urgency."""
        return f"{self.prefix}order:{job_class}{self._at}:{tenant}"

    def served(self, job_class: JobClass) -> str:
        """Sorted set, member = tenant, score = tokens served; the queue; `FAIR_TTL_S` after the last job was taken.
        Every tenant with waiting jobs is in it."""
        return f"{self.prefix}served:{job_class}{self._at}"

    @property
    def fair(self) -> str:
        """Hash `line:{class}`, `credit`; the queue; `FAIR_TTL_S` after the last job was taken. See
        scheduling/fairness.py."""
        return f"{self.prefix}fair{self._at}"

    @property
    def queue_prefixes(self) -> list[str]:
        """What keys of queues start with, for lua/queue.lua: `fair`, `queue_list`, `waiting`, `served`, `order`."""
        return [f"{self.prefix}{start}" for start in ("fair", QUEUES, "waiting:", "served:", "order:")]

    @property
    def unacked(self) -> str:
        """Hash, delivery tag -> `class|deliveries|message`; the queue; until acknowledged. Jobs that workers have taken
        and not finished. kombu keeps books of its own, `unacked` and `unacked_index`, for every other queue."""
        return f"{self.prefix}unacked:jobs"

    @property
    def leases(self) -> str:
        """Sorted set, member = delivery tag, score = when it was taken, by the server's clock; the queue; until
        acknowledged. A worker renews the score while it holds the job, so that only a dead worker's jobs are delivered
        again."""
        return f"{self.prefix}leases"

    @property
    def lease_owners(self) -> str:
        """Hash, delivery tag -> id of the worker that took it; the queue; until acknowledged."""
        return f"{self.prefix}holders"

    def deaths(self, job_id: str) -> str:
        """String, a count; the queue; `DEATHS_TTL_S`, or until the job is acknowledged. Its leases that ran out."""
        return f"{self.prefix}deaths:{job_id}"

    @property
    def dead(self) -> str:
        """Hash, job id -> its record; the queue; until a sweep finds it older than `DEAD_TTL_S`, or more than
        `DEAD_MAX`. The dead letters."""
        return f"{self.prefix}dead"

    @property
    def dead_index(self) -> str:
        """Sorted set, member = job id, score = when it was set aside; as `dead`."""
        return f"{self.prefix}dead_index"

    def result(self, job_id: str) -> str:
        """String; the worker; `result_ttl_s`, by `lifetimes`. A job's outcome. Also the channel that announces it."""
        return f"{self.prefix}celery-task-meta-{job_id}"

    def reply(self, client_id: str) -> str:
        """Channel, no key; a client process; while it is subscribed. The outcomes of that client's jobs."""
        return f"{self.prefix}reply:{client_id}"

    def is_reply(self, channel: str | None) -> bool:
        """Whether a message's `reply_to` is such a channel; that of a plain Celery caller is not."""
        return channel is not None and channel.startswith(self.reply(""))

    def text(self, job_id: str) -> str:
        """String; the client; until the job is done, or by `lifetimes` after its deadline and redelivery. Documents too
        large for the queue."""
        return f"{self.prefix}text:{job_id}"

    def request(self, job_id: str) -> str:
        """String; the client; deadline + `result_ttl_s`, by `lifetimes`. What collect() needs to rebuild a submitted
        request."""
        return f"{self.prefix}request:{job_id}"

    @property
    def lifetimes(self) -> str:
        """Sorted set, member = a key, score = when it ends, by the server's clock; the key's writer; until then."""
        return f"{self.prefix}lifetimes"

    def backlog(self, job_class: JobClass) -> str:
        """Sorted set, member by `backlog_member`, score = when it stops counting; clients add, workers remove."""
        return f"{self.prefix}ledger:{job_class}{self._at}"

    def backlog_sums(self, job_class: JobClass) -> str:
        """Hash, a second of due_at -> what is due within it; the scripts that change `backlog`, and who
        reads it; while it has entries. lua/backlog.lua spells the values."""
        return f"{self.prefix}ledger_sums:{job_class}{self._at}"

    def score(self, digest: bytes) -> bytes:
        """String of 7 bytes; the worker; `cache_ttl_s`. One pair's logit, token count and truncation."""
        return self.score_prefix + digest

    def flight(self, digest: bytes) -> bytes:
        """String; a client; until the job should be answered. The claim on a pair in flight."""
        return f"{self.prefix}flight:".encode() + digest

    @property
    def score_prefix(self) -> bytes:
        """What every cached score's key starts with."""
        return f"{self.prefix}score:".encode()

    @property
    def cache_counters(self) -> str:
        """Hash hits, misses; clients; deleted by `cache clear`. Look-ups over the life of the cache."""
        return f"{self.prefix}cache"

    def bucket(self, key_id: str) -> str:
        """Hash level, at; gateways; until it is full again, which an absent one is. The tokens that an API key may
        spend; `at` is when `level` was right, by the server's clock."""
        return f"{self.prefix}bucket:{key_id}"

    def latency(self, slot: int) -> str:
        """Hash `k class|bucket` -> requests; gateways; `LATENCY_TTL_S`. How long the requests took that gateways
        answered in one slot of `LATENCY_SLOT_S` seconds; the slot is the server's epoch seconds divided by that."""
        return f"{self.prefix}latency:{slot}"

    def routed(self, route: str, version: int) -> str:
        """Hash `what|model` -> requests; gateways; `ROUTED_TTL_S` after the last. How the requests ended that came by
        one version of a route; producer/rerank_producer/routed/figures.py spells the fields."""
        return f"{self.prefix}routed:{version}:{route}"

    def shadowed(self, route: str, version: int) -> str:
        """Hash `what, live model, shadow model` by lines -> a count; clients and gateways; `SHADOW_TTL_S` after the
        last. What the shadows of one version of a route showed; drift/figures.py spells the fields."""
        return f"{self.prefix}shadowed:{version}:{route}"

    def shadow_worst(self, route: str, version: int) -> str:
        """Hash `query digest, live model, shadow model` by lines -> `rank|record`; as `shadowed`. The queries on which
        a shadow agreed least."""
        return f"{self.prefix}shadow_worst:{version}:{route}"

    def rollout(self, route: str) -> str:
        """String, JSON; the operator's command; `ROLLOUT_TTL_S` after its last change. The last rollout of a route."""
        return f"{self.prefix}rollout:{route}"

    def rollout_holder(self, route: str) -> str:
        """String; the command that leads the rollout of a route; seconds, unless it writes it again."""
        return f"{self.prefix}rollout_holder:{route}"

    def activity(self, slot: int) -> str:
        """Hash alive, interactive, bulk -> seconds; workers; `ACTIVITY_TTL_S`. Seconds that processes were alive, and
        that they ran work of each class, in one slot of `ACTIVITY_SLOT_S` seconds, numbered as those of `latency`."""
        return f"{self.prefix}activity:{slot}"

    def identity(self, model: str) -> str:
        """String; workers; `IDENTITY_TTL_S`. The scoring identity that was announced last under a model's name, for
        clients of earlier releases, which spelled it `artefact:`."""
        return f"{self.prefix}artefact:{model}"

    @property
    def models(self) -> str:
        """Sorted set, member = model, score = when its announcement ends; workers."""
        return f"{self.prefix}models"

    @property
    def routes(self) -> str:
        """Hash, name of a route -> its last version; operators, and who seeds from fleet.toml; until it is deleted, and
        some days longer as a version that says so."""
        return f"{self.prefix}routes"

    def route_versions(self, name: str) -> str:
        """Hash, version -> the record of a route as it was then; as `routes`; the last `KEPT_VERSIONS`."""
        return f"{self.prefix}route:{name}"

    def worker(self, worker_id: str) -> str:
        """String; that worker process; until another one finds it over by `workers`. Its heartbeat."""
        return f"{self.prefix}worker:{worker_id}"

    @property
    def workers(self) -> str:
        """Sorted set, member = worker id, score = when its heartbeat ends; workers. Those of the pool, for
        `IDENTITY_TTL_S` by `lifetimes`; without one, all of the namespace."""
        return f"{self.prefix}workers{self._at}"

    @property
    def pooled(self) -> str:
        """As `workers`: those of all pools. Workers of earlier releases, which consume the common queue alone, are in
        `workers` and not here."""
        return f"{self.prefix}pooled"

    @property
    def pools(self) -> str:
        """Sorted set, member = pool id, score = when its announcement ends; workers. All pools."""
        return f"{self.prefix}pools"

    def pools_of(self, model: str) -> str:
        """Hash, pool id -> its scoring identity; workers; `IDENTITY_TTL_S`. The pools that serve a model's name; those
        that `pools` lacks are over."""
        return f"{self.prefix}pools:{model}"

    @property
    def named(self) -> str:
        """Sorted set, member = pool id, a space and a name of its model, score = until when a live process gives it
        that name; workers. Those that are over are kept for `IDENTITY_TTL_S`."""
        return f"{self.prefix}named"

    def cost(self, model: str) -> str:
        """Hash `precision|host` -> cost parameters and when they were shared; workers; `COST_TTL_S`, so that a fleet
        scaled to 0 predicts too. A worker that starts drops the hosts that have shared nothing for `COST_KEPT_S`.

        `model` is a model's name, or a pool's id."""
        return f"{self.prefix}cost:{model}"

    def deviations(self, identity_digest: str, tenant: str | None, first_stage: str) -> str:
        """String `requests logit first_stage`; clients; `COST_TTL_S` after the last write. The mean deviations within
        requests, of a model's logits and of the scores of a named first stage; of one tenant's requests, or, with None,
        of all that share their scores."""
        whose = "" if tenant is None else f"={tenant}"
        return f"{self.prefix}deviations:{identity_digest}:{whose}:{first_stage}"

    @property
    def feedback(self) -> str:
        """Stream of feedback records, one field `r` each, ids by the server's clock; clients and gateways; bounded in
        number, bytes and age by who appends, and ended as a whole by `lifetimes`, its keep time after the last one."""
        return f"{self.prefix}feedback"

    @property
    def feedback_copy(self) -> str:
        """Stream; an operator that deletes feedback; until it takes the place of `feedback`, or by `lifetimes`."""
        return f"{self.prefix}feedback_copy"

    @property
    def control_bindings(self) -> str:
        """Set, one member for each worker that Celery's remote control reaches; kombu, which leaves those of killed
        workers in it; as long as a worker lives."""
        return f"{self.prefix}_kombu.binding.celery.pidbox"

    def control_channel(self, db: int) -> str:
        """Channel, subscribed to as a pattern; kombu. Celery's remote control, which tells workers of cancelled
        jobs, uses it."""
        return f"{self.prefix}/{db}.celery.pidbox"

    def trial(self, name: str) -> str:
        """String, and a channel; a check whether a server will do; seconds. Nothing reads it."""
        return f"{self.prefix}trial:{name}"


@lru_cache(maxsize=256)
def queue_parts(name: str) -> tuple[JobClass, str] | None:
    """Return the class and the pool that the name of a queue spells; None where it is no queue of a fleet."""
    found = _QUEUE.fullmatch(name)
    if found is None:
        return None
    job_class: JobClass = "bulk" if found["job_class"] == "bulk" else "interactive"
    return job_class, found["pool"] or ""


def pool_of_queue(name: str) -> str:
    """Return the pool that the name of a queue spells, '' where it spells none."""
    found = queue_parts(name)
    return "" if found is None else found[1]


#: A worker announces itself this often.
HEARTBEAT_INTERVAL_S = 1.0
#: Five missed heartbeats: the process is dead, frozen or cut off.
HEARTBEAT_TTL_S = 5
#: Outlives its workers, so that cached requests are answered while a fleet restarts or is scaled to 0.
IDENTITY_TTL_S = 86_400
COST_TTL_S = 7 * 86_400
#: A worker shares its cost this often, changed or not.
COST_INTERVAL_S = 60
#: Five times that: the host has no worker any more, and its cost counts only where no host has one.
COST_FRESH_S = 300
#: Hosts come and go, pods under a new name each time; a host that is back within this time need not measure anew.
COST_KEPT_S = 3_600
#: How long the tokens served to a tenant without waiting jobs are remembered.
FAIR_TTL_S = 3_600
DEATHS_TTL_S = 3_600
LATENCY_SLOT_S = 10
#: Longer than any window that is shown.
LATENCY_TTL_S = 600
#: Longer than the longest hold of a rollout.
ROUTED_TTL_S = 2 * 86_400
ROLLOUT_TTL_S = 7 * 86_400
SHADOW_TTL_S = 7 * 86_400
ACTIVITY_SLOT_S = 10
#: The longest cool-down of autoscaling, and some more.
ACTIVITY_TTL_S = 2_000
DEAD_TTL_S = 7 * 86_400
DEAD_MAX = 1_000
#: Keys of `Keys.lifetimes` that one sweep ends: more than a process makes between two of its sweeps.
ENDED_PER_SWEEP = 2_000
