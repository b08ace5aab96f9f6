"""What the command `rollout` does once its options are read: it leads a rollout, shows one or turns one back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from rerank_ops.cli.console import err, out
from rerank_ops.rollout.beginning import begin_or_resume, turned_back
from rerank_ops.rollout.course import Course, step_figures
from rerank_ops.rollout.draining import draining
from rerank_ops.rollout.drift import Sampled, measure, read_sample
from rerank_ops.rollout.record import Records
from rerank_ops.signals import stop_asked
from rerank_producer import RerankClient
from rerank_shared.errors import ConfigurationError
from rerank_shared.redis.connections import OUTAGES_AND_REFUSALS
from rerank_shared.route_store.store import RouteStore
from rerank_shared.routing.rollout import Record
from rerank_shared.routing.rollout_plan import Plan
from rerank_shared.settings import Settings


@dataclass(frozen=True, slots=True)
class Leading:
    """The three uses of the command, on one namespace. Raises ConfigurationError, RolloutTaken and as redis-py."""

    settings: Settings
    store: RouteStore

    def roll_out(self, route: str, new: str, plan: Plan, drift_sample: Path | None, wait_s: float) -> None:
        """Lead a rollout, new or taken up again, to its end."""
        sample = None if drift_sample is None else read_sample(drift_sample)
        records = self._records(route)
        with stop_asked() as stopped:
            records.claim(stopped.wait)
        with _released(records):
            record = begin_or_resume(self.store, records, new, plan)
            steps = ", ".join(f"{step:g}" for step in plan.steps)
            err.print(f"{route}: from {record.old} to {record.new} by {steps} %, each held for {plan.hold_s:g} s")
            if record.state != "waiting":
                err.print(f"goes on from {record.percent:g} %, where a command has left it")
            if sample is None and record.drift is None:
                err.print("drift of scores is not judged: that needs --drift-sample")
            self._lead(records, record, sample, wait_s)

    def turn_back(self, route: str) -> None:
        """Give the old model its whole share back, whoever leads the rollout."""
        records = self._records(route)
        records.take_over()
        with _released(records):
            self._lead(records, turned_back(self.store, records))

    def show(self, route: str, *, as_json: bool) -> None:
        """Show the last rollout of a route."""
        records = self._records(route)
        record = records.read()
        if record is None:
            raise ConfigurationError(f"there was no rollout of {route!r} of late")
        # What took the share back is a version too, and no request of it went to the new model.
        judged = replace(record, versions=record.versions[: record.step + 2])
        figures = step_figures(self.store, judged)
        new, old = figures.new, figures.old
        fields: dict[str, Any] = {
            "route": route,
            "old": record.old,
            "new": record.new,
            "state": record.state,
            "percent": self._percent(record),
            "version": record.version,
            "led_by": records.leader(),
            "reason": record.reason,
            "new_requests": new.requests,
            "new_failed": new.failed,
            "old_requests": old.requests,
            "old_failed": old.failed,
            "plan": asdict(record.plan),
            "drift": None if record.drift is None else asdict(record.drift),
        }
        if as_json:
            print(json.dumps(fields))
            return
        for field, value in fields.items():
            shown = json.dumps(value) if isinstance(value, dict) else value
            out.print(f"{field:<14}{'none' if shown in (None, '') else shown}")

    def _percent(self, record: Record) -> float | None:
        """Return the new model's share of the route as it is now, whoever set it; None of a route that is gone."""
        route = self.store.table().live.get(record.route)
        return None if route is None else route.percent(record.new)

    def _records(self, route: str) -> Records:
        return Records(self.store.client, self.store.keys, route)

    def _lead(self, records: Records, record: Record, sample: list[Sampled] | None = None, wait_s: float = 0.0) -> None:
        with RerankClient(self.settings) as client, stop_asked() as stopped:
            drift = sample and partial(measure, client, sample, record.old, record.new, records.renew)
            course = Course(self.settings, self.store, records, record, err.print, drift or None, wait_s)
            ended = course.run(stopped.wait)
        if ended.state == "done":
            err.print(f"{ended.route}: leads to {ended.new} alone, version {ended.version}")
            for line in draining(self.store, ended):
                err.print(line)
        elif ended.state == "aborted":
            err.print(f"{ended.route}: leads to {ended.old} alone, version {ended.version}")
        elif ended.ended:
            how = "went back" if ended.state == "returned" else "has stopped"
            raise ConfigurationError(f"the rollout of {ended.route} {how}: {ended.reason}")
        else:
            raise ConfigurationError(
                f"the rollout of {ended.route} is left at {ended.percent:g} %: run the command again to go on, or "
                f"`rerank-fleet rollout {ended.route} --abort`"
            )


@contextmanager
def _released(records: Records) -> Iterator[None]:
    """Let the next command lead as soon as the block ends, unless Redis is away: then in some seconds."""
    try:
        yield
    finally:
        with suppress(*OUTAGES_AND_REFUSALS):
            records.release()
