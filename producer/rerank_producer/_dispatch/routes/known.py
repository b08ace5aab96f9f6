"""The routes as a client knows them. They say which model a request goes to, before anything else is asked.

They are remembered for some seconds; then the next look-up reads them again, in its own round trip. A route that Redis
has lost, and that nobody deleted, goes on for a while as it was.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from rerank_producer._io.clock import Clock
from rerank_shared.keys import Keys
from rerank_shared.route_store.table import RouteTable, ask_table, read_table
from rerank_shared.routing.choice import choose
from rerank_shared.routing.route import Route, Target

log = logging.getLogger(__name__)
REMEMBERED_S = 5.0
#: So long a route goes on that Redis has lost: an operator, a gateway or a restart puts it back meanwhile.
LOST_KEPT_S = 600.0


@dataclass(slots=True)
class KnownRoutes:
    """Remembers the routes of a namespace. Threads may share it."""

    keys: Keys
    clock: Clock
    _routes: Mapping[str, Route] = field(default_factory=dict)
    #: When routes were first missed, by the monotonic clock.
    _lost_at: Mapping[str, float] = field(default_factory=dict)
    _until: float = -math.inf

    def find(self, name: str) -> Route | None:
        """Return the route of a name, as it was read last; None where the name is none's."""
        return self._routes.get(name)

    def target(self, name: str, query: str) -> Target:
        """Return where a request goes that asks for a name: to a model of that route, or to the model of that name.

        Where a route has stages, it is the model of the first one.
        """
        route = self._routes.get(name)
        if route is None:
            return Target(name)
        return Target(route.main if route.stages else choose(route.shares, query), route)

    def query(self, *, anew: bool = False) -> RoutesQuery:
        """Return the query that reads the routes; with `anew` it reads them, however fresh they are."""
        return RoutesQuery(self, fresh=not anew and self.clock.monotonic() < self._until)

    @property
    def names(self) -> Collection[str]:
        """The names of all routes, as they were read last."""
        return self._routes.keys()

    @property
    def were_read(self) -> bool:
        """Whether the server has answered once."""
        return self._until > -math.inf

    def learn(self, table: RouteTable) -> None:
        """Remember what the server answered, and the lost routes among those that were known."""
        now = self.clock.monotonic()
        missed = [name for name in self._routes if name not in table.live and not table.deleted(name)]
        lost_at = {name: self._lost_at.get(name, now) for name in missed}
        lost_at = {name: since for name, since in lost_at.items() if now - since < LOST_KEPT_S}
        for name in lost_at.keys() - self._lost_at.keys():
            log.warning("route lost in Redis name=%s: version %d goes on here", name, self._routes[name].version)
        self._routes = dict(table.live) | {name: self._routes[name] for name in lost_at}
        self._lost_at, self._until = lost_at, now + REMEMBERED_S


@dataclass(frozen=True, slots=True)
class RoutesQuery:
    """The command that reads the routes in a shared round trip; none while they are `fresh`."""

    routes: KnownRoutes
    fresh: bool

    def ask(self, pipe: Any) -> None:
        """Queue the command on a pipeline."""
        if not self.fresh:
            ask_table(pipe, self.routes.keys)

    def read(self, answers: Iterator[Any]) -> None:
        """Take the routes from the answers."""
        if not self.fresh:
            self.routes.learn(read_table(next(answers)))
