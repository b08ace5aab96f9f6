"""The routes of a namespace as one answer of Redis holds them: those that can be read, and those that were deleted.

A record that can't be read, of a newer release for example, counts as absent, and is never written over unasked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from rerank_shared.contract import wire
from rerank_shared.contract.messages import RouteRecord
from rerank_shared.contract.unreadable import read_or_none
from rerank_shared.keys import Keys
from rerank_shared.routing.route import Route
from rerank_shared.routing.spec import StoredSpec


@dataclass(frozen=True, slots=True)
class RouteTable:
    """Routes by name. `records` has the deleted ones too, `raw` every record as its bytes, readable or not."""

    live: Mapping[str, Route] = field(default_factory=dict)
    records: Mapping[str, RouteRecord] = field(default_factory=dict)
    raw: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def unreadable(self) -> list[str]:
        """Names whose record can't be read here."""
        return sorted(self.raw.keys() - self.records.keys())

    def deleted(self, name: str) -> bool:
        """Whether an operator has deleted a route of this name."""
        return name in self.records and self.records[name].deleted

    def version(self, name: str) -> int:
        """Return the last version of a route, 0 if there is none that can be read."""
        return self.records[name].version if name in self.records else 0


def ask_table(pipe: Any, keys: Keys) -> None:
    """Queue on a pipeline the command whose answer `read_table` reads."""
    pipe.hgetall(keys.routes)


def read_table(answer: Mapping[bytes, bytes]) -> RouteTable:
    """Return the routes of an answer to `ask_table`."""
    raw = {name.decode(errors="replace"): record for name, record in answer.items()}
    live, records = {}, {}
    for name, data in raw.items():
        record = read_or_none("route", wire.decode_route, data)
        if record is None:
            continue
        if record.deleted:
            records[name] = record
        elif (route := read_or_none("route", _route, data)) is not None:
            records[name], live[name] = record, route
    return RouteTable(live, records, raw)


def _route(data: bytes) -> Route:
    return route_of(wire.decode_route(data))


def route_of(record: RouteRecord) -> Route:
    """Return the route of a record that does not delete it. Raises ValueError for fields that can't be read."""
    try:
        return StoredSpec.model_validate_json(record.spec).route(record.name, record.version)
    except ValidationError as error:
        # The text of pydantic's own error quotes the record.
        where = ".".join(map(str, error.errors(include_input=False)[0]["loc"]))
        raise ValueError(f"version {record.version} of {record.name!r}: {where or 'no fields'}") from None
