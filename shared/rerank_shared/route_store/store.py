"""The routes of a namespace in Redis: each change is a new version, made in one step, and the old ones are kept."""

from __future__ import annotations

import math
import socket
from dataclasses import dataclass, replace
from typing import Any

from rerank_shared.contract import wire
from rerank_shared.contract.messages import RouteRecord
from rerank_shared.contract.unreadable import read_or_none
from rerank_shared.errors import ConfigurationError, RouteChanged
from rerank_shared.keys import Keys
from rerank_shared.nearest import did_you_mean
from rerank_shared.redis.scripts import Script
from rerank_shared.redis.server_clock import server_epoch
from rerank_shared.route_store.table import RouteTable, read_table, route_of
from rerank_shared.routing.route import KEPT_VERSIONS, MAX_ROUTES, Route
from rerank_shared.routing.spec import digest_of, target_mistakes, to_text

SET_ROUTE = Script("set_route.lua")
#: So long a namespace remembers that a route was deleted, and its versions can be rolled back to.
DELETED_KEPT_S = 7 * 86_400
#: Tries of a change that expects no version, while others change the same route.
_TRIES = 10


@dataclass(frozen=True, slots=True)
class RouteStore:
    """Reads and changes routes over a sync client. Raises the exceptions of redis-py."""

    client: Any
    keys: Keys

    def table(self) -> RouteTable:
        """Return all routes."""
        return read_table(self.client.hgetall(self.keys.routes))

    def versions(self, name: str) -> list[RouteRecord]:
        """Return the kept versions of a route that can be read, the newest first."""
        found = self.client.hgetall(self.keys.route_versions(name)).values()
        records = (read_or_none("route", wire.decode_route, data) for data in found)
        return sorted((each for each in records if each is not None), key=lambda each: -each.version)

    def version(self, name: str, version: int) -> Route:
        """Return a kept version of a route. Raises ConfigurationError where there is none."""
        return route_of(self._kept(name, version))

    def set(self, route: Route, *, if_version: int | None = None) -> Route:
        """Make a route its next version and return it. `if_version` is the version that it must have until then.

        Raises ConfigurationError where it names another route or there are too many, RouteChanged for another version.
        """
        for _ in range(_TRIES):
            table = self.table()
            self._refuse(route, table)
            _refuse_other_version(route.name, table, if_version)
            record = self._record(table, route.name, to_text(route))
            if self.write(record, table):
                return replace(route, version=record.version)
        raise RouteChanged(f"route {route.name!r} is being changed by others: try again")

    def delete(self, name: str, *, if_version: int | None = None) -> int:
        """Make a version that deletes a route, and return its number. Raises ConfigurationError, RouteChanged."""
        for _ in range(_TRIES):
            table = self.table()
            if name not in table.raw or table.deleted(name):
                raise ConfigurationError(f"there is no route {name!r}{did_you_mean(name, table.live)}")
            _refuse_other_version(name, table, if_version)
            record = self._record(table, name, "")
            if self.write(record, table):
                self._forget_old_ones(table, record.set_at)
                return record.version
        raise RouteChanged(f"route {name!r} is being changed by others: try again")

    def rollback(self, name: str, version: int | None = None, *, if_version: int | None = None) -> Route:
        """Make a new version that equals an old one, by default the last before the present one that was live.

        Raises ConfigurationError where there is no such version, RouteChanged for another version than `if_version`.
        """
        found = self.table().version(name)
        wanted = self._kept(name, version, before=found)
        return self.set(route_of(wanted), if_version=found if if_version is None else if_version)

    def write(self, record: RouteRecord, table: RouteTable) -> bool:
        """Write a version of a route. Return False, and change nothing, if the route is no more as in `table`."""
        data, names = wire.encode_route(record), [self.keys.routes, self.keys.route_versions(record.name)]
        known = table.raw.get(record.name, b"")
        return bool(SET_ROUTE(self.client, names, record.name, known, data, record.version, KEPT_VERSIONS))

    def seed(self, route: Route) -> Route | None:
        """Make a route of fleet.toml its next version, unless an operator has set it. Return it, None if not made.

        Raises ConfigurationError where it names another route or there are too many.
        """
        table = self.table()
        before = table.records.get(route.name)
        if (before is None and route.name in table.raw) or (before is not None and before.set_by != "file"):
            return None
        self._refuse(route, table)
        record = self._record(table, route.name, to_text(route))
        record = replace(record, set_by="file", file_digest=digest_of(route))
        return replace(route, version=record.version) if self.write(record, table) else None

    def _kept(self, name: str, version: int | None, before: float = math.inf) -> RouteRecord:
        """Return a version, or with None the last one that is older than `before`. Raises ConfigurationError."""
        kept = [each for each in self.versions(name) if not each.deleted]
        wanted = [each for each in kept if (each.version < before if version is None else each.version == version)]
        if not wanted:
            there = ", ".join(str(each.version) for each in kept) or "none"
            which = "version before its last" if version is None else f"version {version}"
            raise ConfigurationError(f"route {name!r} has no {which}; kept are: {there}")
        return wanted[0]

    def _record(self, table: RouteTable, name: str, spec: str) -> RouteRecord:
        before = table.records.get(name)
        last = before.version if before is not None else self._last_version(name)
        return RouteRecord(
            name=name,
            version=last + 1,
            spec=spec,
            set_by="operator",
            set_on=socket.gethostname(),
            set_at=server_epoch(self.client),
            file_digest="" if before is None else before.file_digest,
        )

    def _last_version(self, name: str) -> int:
        """Return the last version that is kept of a route whose own record is absent, or can't be read."""
        return max(map(int, self.client.hgetall(self.keys.route_versions(name))), default=0)

    def _refuse(self, route: Route, table: RouteTable) -> None:
        others = table.live.keys() - {route.name}
        mistakes = target_mistakes(route, others)
        mistakes += [
            f"route {other!r} names {route.name!r} as a model; change it first"
            for other in sorted(others)
            if route.name in table.live[other].models
        ]
        if route.name not in table.live and len(table.live) >= MAX_ROUTES:
            mistakes.append(f"there are {len(table.live)} routes, and {MAX_ROUTES} are the limit")
        if mistakes:
            raise ConfigurationError(f"route {route.name!r}: {'; '.join(mistakes)}")

    def _forget_old_ones(self, table: RouteTable, now: float) -> None:
        for name, record in table.records.items():
            if forgotten(record, now):
                self.client.hdel(self.keys.routes, name)
                self.client.unlink(self.keys.route_versions(name))


def forgotten(record: RouteRecord, now: float) -> bool:
    """Whether a version that deletes a route is so old that nothing need remember it."""
    return record.deleted and now - record.set_at > DELETED_KEPT_S


def _refuse_other_version(name: str, table: RouteTable, expected: int | None) -> None:
    if expected is None or (found := table.version(name)) == expected:
        return
    if name in table.unreadable:
        raise RouteChanged(f"route {name!r} has a version that this release can't read, not version {expected}")
    told = "is not there" if found == 0 else f"has version {found}"
    record = table.records.get(name)
    who = "" if record is None else f", set by {record.set_by} on {record.set_on}"
    raise RouteChanged(f"route {name!r} {told}{who}, not version {expected}: look at it, then try again")
