"""Begins a rollout, takes one up where a killed command left it, or turns one back."""

from __future__ import annotations

from dataclasses import replace

from rerank_ops.rollout.record import Records
from rerank_shared.errors import ConfigurationError
from rerank_shared.nearest import did_you_mean
from rerank_shared.redis.server_clock import server_epoch
from rerank_shared.route_store.store import RouteStore
from rerank_shared.routing.rollout import Record
from rerank_shared.routing.rollout_plan import Plan
from rerank_shared.routing.spec import target_mistakes


def begin_or_resume(store: RouteStore, records: Records, new: str, plan: Plan) -> Record:
    """Return the record of a new rollout, or that of the same one, which has not ended.

    Raises ConfigurationError for a route that does not lead to one other model, and for a rollout under way that
    differs.
    """
    before = records.read()
    if before is None or before.ended:
        return _begun(store, records.route, new, plan)
    if (before.new, before.plan) != (new, plan):
        raise ConfigurationError(
            f"a rollout of {before.route!r} to {before.new!r} with other options is at {before.percent:g} %: run its "
            f"command again, or `rerank-fleet rollout {before.route} --abort`"
        )
    return before


def _begun(store: RouteStore, name: str, new: str, plan: Plan) -> Record:
    table = store.table()
    route = table.live.get(name)
    if route is None:
        raise ConfigurationError(f"there is no route {name!r}{did_you_mean(name, table.live)}")
    if len(route.shares) > 1:
        several = ", ".join(share.model for share in route.shares)
        raise ConfigurationError(f"route {name!r} leads to {several}, and a rollout begins where it leads to one model")
    if route.main == new:
        raise ConfigurationError(f"route {name!r} leads to {new} already")
    record = Record(name, route.main, new, plan, (route.version,))
    if mistakes := target_mistakes(replace(route, shares=record.shares(50.0)), table.live.keys() - {name}):
        raise ConfigurationError(f"route {name!r}: {'; '.join(mistakes)}")
    return record


def turned_back(store: RouteStore, records: Records) -> Record:
    """Return the record of the rollout under way as one that is to go back. Raises ConfigurationError if none is."""
    record = records.read()
    if record is None or record.ended:
        ended = "" if record is None else f": the last one ended as {record.state}"
        raise ConfigurationError(f"no rollout of {records.route!r} is under way{ended}")
    found = store.table().live.get(record.route)
    if found is not None and record.made_by(found):
        record = record.changed(found.version, server_epoch(store.client))
    if record.ended:
        return record
    return replace(record, state="aborted" if record.step < 0 else "aborting", reason="an operator asked for it")
