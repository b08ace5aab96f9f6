"""What a fleet.toml means for the routes in Redis, and what is put back after Redis was emptied. Pure.

A file fills in what is absent and updates what a file wrote. It never overwrites what an operator has set.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from rerank_shared.contract.messages import RouteRecord
from rerank_shared.route_store.table import RouteTable
from rerank_shared.routing.route import Route
from rerank_shared.routing.spec import digest_of


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be done for one route of the file, and what is to be said of it.

    seed: it is absent. update: a file wrote it, and this file has it otherwise. keep: an operator has set it, or it
    can't be read. same: the file was taken over before.
    """

    kind: Literal["seed", "update", "keep", "same"]
    route: Route
    says: str = ""


def steps(routes: Mapping[str, Route], table: RouteTable, host: str) -> Iterator[Step]:
    """Yield what a start with a file of these `routes` means for the routes in Redis; `host` is this one."""
    for name, route in routes.items():
        record = table.records.get(name)
        if record is None:
            if name in table.raw:
                yield Step("keep", route, "Redis has a version that this release can't read, and it stays")
            else:
                yield Step("seed", route)
        elif _taken_over(route, table):
            yield Step("same", route)
        elif record.set_by == "file":
            other = "" if record.set_on == host else difference(record)
            yield Step("update", route, other)
        else:
            yield Step("keep", route, difference(record))


def difference(record: RouteRecord) -> str:
    """Return why a route in Redis is not as in this host's file."""
    if record.set_by == "file":
        return (
            f"version {record.version} is of another fleet.toml, on host {record.set_on}: one namespace needs one file"
        )
    did = "deletes it" if record.deleted else "differs"
    return (
        f"version {record.version}, which an operator set on host {record.set_on}, {did} and stays; "
        f"`rerank-fleet route set {record.name} --file` takes the file's"
    )


def differences(routes: Mapping[str, Route], table: RouteTable) -> dict[str, str]:
    """Return by name why routes of a file are not what Redis has, for those that another file or hand has set."""
    found = {}
    for name, route in routes.items():
        record = table.records.get(name)
        if record is not None and not _taken_over(route, table):
            found[name] = difference(record)
    return found


@dataclass(slots=True)
class LastKnown:
    """Routes as they were last seen, with the deleted ones, to be put back where Redis has lost them."""

    _records: Mapping[str, RouteRecord] = field(default_factory=dict)

    def lost(self, table: RouteTable) -> list[RouteRecord]:
        """Return the records that were seen before and that Redis has no more."""
        return [record for name, record in self._records.items() if name not in table.raw]

    def remember(self, table: RouteTable) -> None:
        """Remember the routes of now."""
        self._records = table.records


def _taken_over(route: Route, table: RouteTable) -> bool:
    """Whether Redis has a route as the file has it, or has had it and an operator went on from there."""
    live, digest = table.live.get(route.name), digest_of(route)
    return digest == table.records[route.name].file_digest or (live is not None and digest == digest_of(live))
