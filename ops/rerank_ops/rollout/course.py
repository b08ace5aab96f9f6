"""The course of one rollout: looks at the fleet once a second, and moves the share, holds it or takes it back.

Each share is a version of the route, made only if nobody else has changed the route. Redis away is waited out; what a
look could not finish, the next one does.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from rerank_ops.rollout.policy import Verdict, judge
from rerank_ops.rollout.record import Records
from rerank_producer.routed.figures import Figures
from rerank_producer.routed.step import StepFigures, ask_step, read_step
from rerank_shared.errors import QueueUnavailable, RouteChanged
from rerank_shared.pools import processes_of
from rerank_shared.redis.connections import outages_told
from rerank_shared.redis.server_clock import server_epoch
from rerank_shared.route_store.store import RouteStore
from rerank_shared.route_store.table import RouteTable
from rerank_shared.routing.rollout import CHANGING, Record
from rerank_shared.routing.rollout_plan import Drift
from rerank_shared.settings import Settings

LOOK_S = 1.0


@dataclass(slots=True)
class Course:
    """Leads a rollout from where its record is. The command that makes one has claimed the rollout.

    `say` takes a line for the operator. `measure` measures the drift; None: it isn't judged. `wait_s` is how long the
    new model may have no live process before the first step.
    """

    settings: Settings
    store: RouteStore
    records: Records
    record: Record
    say: Callable[[str], None]
    measure: Callable[[], Drift] | None = None
    wait_s: float = 600.0
    monotonic: Callable[[], float] = time.monotonic
    _told: str = ""
    _away: bool = False
    _started: float = field(init=False)
    #: When the new model last had a live process, by this command's looks.
    _alive_at: float = field(init=False)

    def __post_init__(self) -> None:
        self._started = self._alive_at = self.monotonic()

    def run(self, wait: Callable[[float], bool]) -> Record:
        """Lead the rollout until it has ended, or `wait`, which waits for some seconds, says that it is to stop.

        Raises RolloutTaken where another command has taken it over.
        """
        self._begin()
        while not self.record.ended and not wait(LOOK_S):
            self._try_to_look()
        return self.record

    def _begin(self) -> None:
        if self.record.state == "holding":
            # Nobody has looked meanwhile, so the step is held anew; its requests were counted and count.
            now = server_epoch(self.store.client)
            self.record = replace(self.record, held_since=now)
        self.records.write(self.record)
        self._try_to_look()

    def _try_to_look(self) -> None:
        try:
            with outages_told(self.settings, "rolling out"):
                self.look()
        except QueueUnavailable as error:
            if not self._away:
                self.say(f"{error.message} The rollout waits.")
            self._away = True
            return
        if self._away:
            self.say("Redis is back: the rollout goes on")
            self._away = False

    def look(self) -> None:
        """Do what is to be done now. Raises the exceptions of redis-py, and what run() raises."""
        if self._away:
            # Heartbeats could not be written either: the model's silence is no sign.
            self._alive_at = self.monotonic()
        self.records.renew()
        # Each time: an emptied server has lost it.
        self.records.write(self.record)
        table = self.store.table()
        if not self._is_as_expected(table):
            return
        if self.record.state == "waiting":
            self._await_new_model()
        elif self.record.state == "holding":
            self._hold()
        if self.record.state in CHANGING:
            self._change()

    def _is_as_expected(self, table: RouteTable) -> bool:
        """Whether the route is as this rollout left it, or made it without learning that. Else the rollout stops."""
        record, found = self.record, table.live.get(self.record.route)
        if record.made_by(found) and found is not None:
            self._keep(record.changed(found.version, server_epoch(self.store.client)))
            return not self.record.ended
        if table.version(record.route) == record.version:
            return True
        if record.route not in table.raw:
            # Emptied: gateways and supervisors put routes back, in their last version.
            self._tell_once("lost", f"route {record.route} is lost in Redis; the rollout waits until it is back")
            return False
        by = table.records.get(record.route)
        who = "" if by is None else f", set by {by.set_by} on {by.set_on}"
        reason = f"somebody else has changed the route: it has version {table.version(record.route)}{who}"
        self._keep(replace(record, state="stopped", reason=f"{reason}, and stays so"))
        return False

    def _await_new_model(self) -> None:
        record = self.record
        if not self._processes(record.new):
            waited_s = self.monotonic() - self._started
            if waited_s > self.wait_s:
                reason = f"no live worker serves {record.new}, after {waited_s:.0f} s; the route is as it was"
                self._keep(replace(record, state="stopped", reason=reason))
            else:
                self._tell_once("waiting", f"waits for workers of {record.new}, for at most {self.wait_s:.0f} s")
            return
        if self.measure is not None and record.drift is None:
            self.say(f"scores the sample with {record.old} and {record.new}, in class bulk")
            record = replace(record, drift=self.measure())
            self.say(str(record.drift))
        bound = record.plan.bounds.drift
        if bound is not None and record.drift is not None and record.drift.mean > bound:
            reason = f"drift: {record.drift}; the bound of the mean is {bound:g}. The route is as it was"
            self._keep(replace(record, state="returned", reason=reason))
        else:
            self._keep(replace(record, state="moving"))

    def _hold(self) -> None:
        record = self.record
        figures = step_figures(self.store, record)
        verdict = self._judged(figures)
        if verdict.kind == "hold":
            if verdict.says:
                self._tell_once(f"{record.step} {verdict.says.partition(' ')[0]}", f"holds longer: {verdict.says}")
            return
        if verdict.kind == "back":
            self.say(f"goes back: {verdict.says}")
            self._keep(replace(record, state="returning", reason=verdict.says))
            return
        self.say(f"{record.percent:g} % was held: {told(record.new, figures.new)}; {told(record.old, figures.old)}")
        last = record.step + 1 == len(record.plan.steps)
        self._keep(replace(record, state="done" if last else "moving"))

    def _judged(self, figures: StepFigures) -> Verdict:
        record, now = self.record, self.monotonic()
        if self._processes(record.new):
            self._alive_at = now
        held_s = server_epoch(self.store.client) - record.held_since
        return judge(record.plan, record.names, held_s, figures.old, figures.new, now - self._alive_at)

    def _change(self) -> None:
        """Make the route's next version. One that was made and not answered for is found by the next look."""
        record = self.record
        route = self.store.table().live.get(record.route)
        if route is None:
            return
        wanted = replace(route, shares=record.shares(record.wanted))
        try:
            made = self.store.set(wanted, if_version=record.version)
        except RouteChanged:
            return
        self._keep(record.changed(made.version, server_epoch(self.store.client)))
        self._alive_at = self.monotonic()
        self.say(f"{record.route}: version {made.version}, {record.new} {made.percent(record.new):g} %")

    def _processes(self, model: str) -> int:
        client = self.store.client
        return processes_of(client, self.store.keys, model, server_epoch(client))

    def _keep(self, record: Record) -> None:
        self.records.write(record)
        self.record = record

    def _tell_once(self, what: str, says: str) -> None:
        if what != self._told:
            self._told = what
            self.say(says)


def step_figures(store: RouteStore, record: Record) -> StepFigures:
    """Return the figures of the step in force."""
    ask_step(pipe := store.client.pipeline(transaction=False), store.keys, record)
    return read_step(record, pipe.execute())


def told(model: str, figures: Figures) -> str:
    """Return figures in words."""
    return f"{model} {figures.requests} requests, {figures.failed} failed"
