"""The heartbeat: tells Redis, once a second or more often, that this worker process lives and what it serves.

One thread sends one pipeline: the models and the cost of their runs, the heartbeat, the renewed leases. It also learns
which callers are gone, and drops their jobs. An outage is logged once and waited out; scoring does not depend on it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rerank_shared import fleet
from rerank_shared.contract.messages import Heartbeat
from rerank_shared.keys import HEARTBEAT_INTERVAL_S, JobClass, Keys
from rerank_shared.redis import at_any_limit
from rerank_shared.redis.connections import OUTAGES_AND_REFUSALS
from rerank_shared.redis.outage import outage_of
from rerank_shared.redis.server_clock import ServerClock
from rerank_shared.watch.activity import add_activity
from rerank_worker.announced import AnnouncedModel
from rerank_worker.batching.scoring_thread import ScoringThread
from rerank_worker.consume.leases import Leases
from rerank_worker.consume.remote_control import dead_controls
from rerank_worker.consume.strays import Strays

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
    models: Sequence[AnnouncedModel]
    heartbeat: Heartbeat
    scoring: ScoringThread
    leases: Leases
    strays: Strays
    redelivery_s: float
    clock: ServerClock = field(default_factory=ServerClock)
    away: bool = False
    #: Pools that this process serves no longer, and has not said so yet.
    _left: set[str] = field(default_factory=set)
    #: How often what it announces has changed, and which of these changes the last heartbeat told.
    _changes: int = 0
    _told: int = 0
    _beaten: threading.Condition = field(default_factory=threading.Condition)
    #: Up to when, and up to which busy seconds, the last heartbeat told of the activity.
    _counted_at: float | None = None
    _counted_s: dict[JobClass, float] = field(default_factory=dict)
    _absent_since: dict[str, float] = field(default_factory=dict)
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
        """Read the server's time, and adopt the costs that earlier processes of these models, precisions and this host
        shared."""
        asked_at = self.clock.monotonic()
        try:
            self.clock.synchronise(self.client.time(), asked_at)
            self.adopt(self.models)
        except OUTAGES_AND_REFUSALS as error:
            log.warning("server time and run cost not read: redis %s", outage_of(error).says)

    def adopt(self, models: Sequence[AnnouncedModel]) -> None:
        """Let these models start from the costs that are shared. Raises Redis's errors."""
        for model in models:
            model.adopt(self.client.hgetall(self.keys.cost(model.pool)), self.clock.epoch())

    def change(self, models: Sequence[AnnouncedModel]) -> None:
        """Announce these models, and no others, from the next heartbeat on. Any thread may call it."""
        pools = tuple(dict.fromkeys(model.pool for model in models))
        with self._beaten:
            self._left = {*self._left, *self.heartbeat.pools} - {*pools}
            self.models = tuple(models)
            self.heartbeat = replace(self.heartbeat, model=models[0].identity.model, pools=pools)
            self._changes += 1

    def wait_told(self, timeout_s: float) -> bool:
        """Wait until a heartbeat has told the last change; return False if `timeout_s` passes first."""
        with self._beaten:
            return self._beaten.wait_for(lambda: self._told >= self._changes, timeout_s)

    def _forget_the_dead(self) -> None:
        """Remove the entries that kombu keeps of killed workers; otherwise each death would add one for ever."""
        try:
            gone = dead_controls(self.client, self.keys, self.clock.epoch(), self.heartbeat.worker_id)
            if gone:
                self.client.srem(self.keys.control_bindings, *gone)
        except OUTAGES_AND_REFUSALS as error:
            log.warning("remote-control entries of dead workers not removed: redis %s", outage_of(error).says)

    def stop(self) -> None:
        """Stop the thread and deregister the worker, so that predictions no longer count it, and its pools go on."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        try:
            pipe = self.client.pipeline(transaction=False)
            fleet.deregister(pipe, self.keys, self.heartbeat.worker_id, {*self.heartbeat.pools, *self._left})
            pipe.execute()
        except OUTAGES_AND_REFUSALS as error:
            log.warning("worker not deregistered: redis %s", outage_of(error).says)
        else:
            self.strays.leave(self.client)

    def _loop(self) -> None:
        while not self._stop.is_set():
            try:
                self.beat()
                self.strays.adopt(self.client)
                if self.away:
                    log.warning("redis is back")
                self.away = False
            except OUTAGES_AND_REFUSALS as error:
                if not self.away:
                    log.warning("redis is away: it %s", outage_of(error).says)
                self.away = True
            self._stop.wait(min(HEARTBEAT_INTERVAL_S, self.redelivery_s / _RENEWALS))

    def beat(self) -> None:
        """Send one heartbeat, and drop the jobs whose callers are gone."""
        now, asked_at = self.clock.epoch(), self.clock.monotonic()
        alive_s, busy_s = asked_at - (self._counted_at or asked_at), self.scoring.busy.by_class()
        ran_s = {each: seconds - self._counted_s.get(each, 0.0) for each, seconds in busy_s.items()}
        jobs, tokens = self.scoring.held()
        with self._beaten:
            models, heartbeat, left, change = self.models, self.heartbeat, self._left, self._changes
        beat = replace(
            heartbeat,
            tokens_per_s=models[0].run_cost.rate.tokens_per_s,
            held_jobs=jobs,
            held_tokens=tokens,
            pairs_per_batch=self.scoring.batch_size.pairs_per_batch,
        )
        channels = sorted(self.scoring.reply_channels())
        costs = [model.cost_to_tell(asked_at) for model in models]

        def tell(words: Any) -> None:
            for model, cost in zip(models, costs, strict=True):
                model.tell(words, self.keys, now, cost)
            fleet.leave_pools(words, self.keys, beat.worker_id, left)
            if self.scoring.draining:
                # It takes no more jobs: to count it would halve a prediction, or hide that nobody is left.
                fleet.deregister(words, self.keys, beat.worker_id, beat.pools)
            else:
                fleet.beat(words, self.keys, beat, now)
            add_activity(words, self.keys, now, alive_s, ran_s)

        pipe = self.client.pipeline(transaction=False)
        pipe.time()
        pipe.mget([self.keys.identity(model.name) for model in models])
        at_any_limit.write(pipe, self.keys, tell)
        self.leases.renew(pipe, self.keys)
        if channels:
            pipe.pubsub_numsub(*channels)
        answers = pipe.execute()
        self.clock.synchronise(answers[0], asked_at)
        for model, cost, announced in zip(models, costs, answers[1], strict=True):
            model.watch_precision(announced)
            model.told(cost, asked_at)
        with self._beaten:
            self._left, self._told = self._left - left, change
            self._beaten.notify_all()
        self._counted_at, self._counted_s = asked_at, busy_s
        listening = {name.decode(): count for name, count in answers[-1]} if channels else {}
        absent = {name for name, count in listening.items() if count == 0}
        self._absent_since = {name: self._absent_since.get(name, now) for name in absent}
        if gone := {name for name, since in self._absent_since.items() if now - since >= _ABSENT_S}:
            self.scoring.abandon(gone)
