"""The heartbeat: tells Redis, once a second or more often, that this worker process lives and what it serves.

One thread sends one pipeline: the scoring identity, the heartbeat, the cost of runs, the renewed leases. It also learns
which callers are gone, and drops their jobs. An outage is logged once and waited out; scoring does not depend on it.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field, replace
from typing import Any

from rerank_shared import fleet
from rerank_shared.contract import wire
from rerank_shared.contract.digest import pool_id
from rerank_shared.contract.messages import Heartbeat, ScoringIdentity
from rerank_shared.contract.unreadable import read_or_none
from rerank_shared.keys import COST_INTERVAL_S, HEARTBEAT_INTERVAL_S, JobClass, Keys
from rerank_shared.redis import at_any_limit
from rerank_shared.redis.connections import OUTAGES_AND_REFUSALS
from rerank_shared.redis.outage import outage_of
from rerank_shared.redis.server_clock import ServerClock
from rerank_shared.scheduling.cost import CostParameters, SharedCost
from rerank_shared.watch.activity import add_activity
from rerank_worker.batching.run_cost import RunCost
from rerank_worker.batching.scorer import Scorer
from rerank_worker.consume.leases import Leases
from rerank_worker.consume.remote_control import dead_controls

log = logging.getLogger(__name__)
#: A caller counts as gone after this long without a subscription: a client that reconnects lacks one for a moment.
_ABSENT_S = 3.0
#: A lease is renewed this many times before it would run out.
_RENEWALS = 4


@dataclass(slots=True)
class Heartbeats:
    """Sends the heartbeats of one worker process until it is stopped. `away`: the last one could not be sent."""

    client: Any
    keys: Keys
    identity: ScoringIdentity
    heartbeat: Heartbeat
    scorer: Scorer
    run_cost: RunCost
    leases: Leases
    redelivery_s: float
    alias: str | None = None
    clock: ServerClock = field(default_factory=ServerClock)
    away: bool = False
    _shared_cost: CostParameters | None = None
    #: Until when that need not be said again, and the costs of hosts that are gone (monotonic clock).
    _shared_until: float = 0.0
    _stale_costs: list[bytes] = field(default_factory=list)
    #: Up to when, and up to which busy seconds, the last heartbeat told of the activity.
    _counted_at: float | None = None
    _counted_s: dict[JobClass, float] = field(default_factory=dict)
    _absent_since: dict[str, float] = field(default_factory=dict)
    #: Other precisions of this model in the fleet, each told once.
    _others: set[str] = field(default_factory=set)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread."""
        self._ask_server()
        self.heartbeat = replace(self.heartbeat, started_at=self.clock.epoch())
        self._forget_the_dead()
        self._thread = threading.Thread(target=self._loop, name="heartbeats", daemon=True)
        self._thread.start()

    def _ask_server(self) -> None:
        """Read the server's time, and adopt the run cost that an earlier process of this model, precision and host
        shared."""
        asked_at = self.clock.monotonic()
        try:
            self.clock.synchronise(self.client.time(), asked_at)
            record = self.client.hgetall(self.keys.cost(pool_id(self.identity)))
        except OUTAGES_AND_REFUSALS as error:
            log.warning("server time and run cost not read: redis %s", outage_of(error).says)
            return
        self._stale_costs = fleet.stale_costs(record, self.clock.epoch())
        if (prior := fleet.read_costs(record).get(self._cost_field)) is not None:
            self.run_cost.adopt(prior.parameters)

    def _forget_the_dead(self) -> None:
        """Remove the entries that kombu keeps of killed workers; otherwise each death would add one for ever."""
        try:
            gone = dead_controls(self.client, self.keys, self.clock.epoch(), self.heartbeat.worker_id)
            if gone:
                self.client.srem(self.keys.control_bindings, *gone)
        except OUTAGES_AND_REFUSALS as error:
            log.warning("remote-control entries of dead workers not removed: redis %s", outage_of(error).says)

    @property
    def _cost_field(self) -> str:
        return fleet.cost_field(self.identity.precision, self.heartbeat.host)

    @property
    def _names(self) -> set[str]:
        return {self.identity.model, self.alias or self.identity.model, *self.heartbeat.pools}

    def stop(self) -> None:
        """Stop the thread and deregister the worker, so that predictions no longer count it."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        try:
            pipe = self.client.pipeline(transaction=False)
            fleet.deregister(pipe, self.keys, self.heartbeat.worker_id, self.heartbeat.pools)
            pipe.execute()
        except OUTAGES_AND_REFUSALS as error:
            log.warning("worker not deregistered: redis %s", outage_of(error).says)

    def _loop(self) -> None:
        while not self._stop.is_set():
            try:
                self.beat()
                if self.away:
                    log.warning("redis is back")
                self.away = False
            except OUTAGES_AND_REFUSALS as error:
                if not self.away:
                    log.warning("redis is away: it %s", outage_of(error).says)
                self.away = True
            self._stop.wait(min(HEARTBEAT_INTERVAL_S, self.redelivery_s / _RENEWALS))

    def _watch_precision(self, record: bytes | None) -> None:
        """Warn of a worker that scores this model in another precision; `record` is the last announcement."""
        announced = None if record is None else read_or_none("scoring identity", wire.decode_identity, record)
        if announced is None or announced.precision in {self.identity.precision, *self._others}:
            return
        self._others.add(announced.precision)
        log.warning(
            "two precisions in one fleet model=%s here=%s elsewhere=%s: requests that meet both are scored twice; set "
            "RERANK_KERNEL and RERANK_LAYOUT alike on every worker",
            self.identity.model,
            self.identity.precision,
            announced.precision,
        )

    def beat(self) -> None:
        """Send one heartbeat, and drop the jobs whose callers are gone."""
        now, asked_at = self.clock.epoch(), self.clock.monotonic()
        alive_s, busy_s = asked_at - (self._counted_at or asked_at), self.scorer.busy.by_class()
        ran_s = {each: seconds - self._counted_s.get(each, 0.0) for each, seconds in busy_s.items()}
        jobs, tokens = self.scorer.held()
        beat = replace(
            self.heartbeat,
            tokens_per_s=self.run_cost.rate.tokens_per_s,
            held_jobs=jobs,
            held_tokens=tokens,
            pairs_per_batch=self.scorer.batch_size.pairs_per_batch,
        )
        channels = sorted(self.scorer.reply_channels())
        cost = self.run_cost.shared
        tells_cost = cost is not None and (cost != self._shared_cost or asked_at >= self._shared_until)

        def tell(words: Any) -> None:
            fleet.announce(words, self.keys, self.identity, now, self.alias)
            if self.scorer.draining:
                # It takes no more jobs: to count it would halve a prediction, or hide that nobody is left.
                fleet.deregister(words, self.keys, beat.worker_id, beat.pools)
            else:
                fleet.beat(words, self.keys, beat, now)
            add_activity(words, self.keys, now, alive_s, ran_s)
            if cost is not None and tells_cost:
                shared = SharedCost(cost, now)
                fleet.share_cost(words, self.keys, self._names, self._cost_field, shared, self._stale_costs)

        pipe = self.client.pipeline(transaction=False)
        pipe.time()
        pipe.get(self.keys.identity(self.identity.model))
        at_any_limit.write(pipe, self.keys, tell)
        self.leases.renew(pipe, self.keys)
        if channels:
            pipe.pubsub_numsub(*channels)
        answers = pipe.execute()
        self.clock.synchronise(answers[0], asked_at)
        self._watch_precision(answers[1])
        if tells_cost:
            self._shared_cost, self._shared_until, self._stale_costs = cost, asked_at + COST_INTERVAL_S, []
        self._counted_at, self._counted_s = asked_at, busy_s
        listening = {name.decode(): count for name, count in answers[-1]} if channels else {}
        absent = {name for name, count in listening.items() if count == 0}
        self._absent_since = {name: self._absent_since.get(name, now) for name in absent}
        if gone := {name for name, since in self._absent_since.items() if now - since >= _ABSENT_S}:
            self.scorer.abandon(gone)
