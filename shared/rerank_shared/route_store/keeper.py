"""The keeper of routes: seeds them from fleet.toml at the start, and puts back what Redis has lost. A thread.

Gateways and supervisors run one. Keepers of several hosts do no harm to each other, since each write is refused where
another came first.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Mapping, Sequence
from typing import Self

from rerank_shared.contract.messages import RouteRecord
from rerank_shared.errors import ConfigurationError, QueueUnavailable
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import connect, outages_told
from rerank_shared.redis.server_clock import server_epoch
from rerank_shared.route_store.seeding import LastKnown, differences, steps
from rerank_shared.route_store.serving import pools_by_model
from rerank_shared.route_store.store import RouteStore, forgotten
from rerank_shared.route_store.table import RouteTable
from rerank_shared.routing.own_shadows import own_shadows, shadowed_models
from rerank_shared.routing.route import Route
from rerank_shared.settings import Settings
from rerank_shared.settings.fleet_file import fleet_file_of

log = logging.getLogger(__name__)
#: So often a keeper looks whether routes are lost.
LOOK_S = 5.0


class RouteKeeper:
    """Keeps the routes of one namespace. Use it as a context manager, or call `start()` and `stop()`."""

    def __init__(self, settings: Settings, *, look_s: float = LOOK_S) -> None:
        """Reads fleet.toml. Raises ConfigurationError that names every mistake in it."""
        file = fleet_file_of(settings)
        self._routes: Mapping[str, Route] = {} if file is None else file.routes
        if file is not None:
            log.info("fleet file %s routes=%s", file.path, ",".join(file.routes) or "none")
        self._settings, self._look_s = settings, look_s
        self._keys = Keys(settings.namespace)
        self._known, self._seeded, self._told = LastKnown(), False, set[str]()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rerank-routes", daemon=True)

    def start(self) -> None:
        """Start the thread. A server that is away is tried again."""
        self._thread.start()

    def stop(self) -> None:
        """Let the thread end, and wait for that."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def look(self, store: RouteStore) -> None:
        """Seed at the first call; put back what is lost at every one. Raises the exceptions of redis-py."""
        table = store.table()
        if lost := self._known.lost(table):
            self._put_back(store, lost, table)
            table = store.table()
        if self._seeded:
            self._fill(store, table)
            self._tell_of_other_files(table)
            self._tell_of_own_shadows(store, table)
        else:
            self._seed(store, table)
            self._seeded = True
        self._known.remember(store.table())

    def _run(self) -> None:
        away = False
        with connect(self._settings, timeout_s=1.0) as client:
            store = RouteStore(client, self._keys)
            while True:
                try:
                    with outages_told(self._settings, "keeping routes"):
                        self.look(store)
                    away = False
                except QueueUnavailable as error:
                    if self._routes and not away:
                        log.warning("routes not seeded error=%s", error)
                    away = True
                if self._stopped.wait(self._look_s):
                    return

    def _put_back(self, store: RouteStore, lost: Sequence[RouteRecord], table: RouteTable) -> None:
        now = server_epoch(store.client)
        for record in lost:
            if not forgotten(record, now) and store.write(record, table):
                log.warning("route put back name=%s version=%d: Redis had lost it", record.name, record.version)

    def _seed(self, store: RouteStore, table: RouteTable) -> None:
        for step in steps(self._routes, table, socket.gethostname()):
            if step.says:
                log.warning("route %s of the fleet file: %s", step.route.name, step.says)
                self._told.add(step.route.name)
            if step.kind in ("seed", "update"):
                self._put(store, step.route)

    def _fill(self, store: RouteStore, table: RouteTable) -> None:
        for name, route in self._routes.items():
            if name not in table.raw:
                self._put(store, route)

    def _put(self, store: RouteStore, route: Route) -> None:
        try:
            found = store.seed(route)
        except ConfigurationError as error:
            if route.name not in self._told:
                self._told.add(route.name)
                log.warning("route %s of the fleet file is not taken over: %s", route.name, error.message)
            return
        if found is not None:
            log.info("route seeded name=%s version=%d", found.name, found.version)

    def _tell_of_other_files(self, table: RouteTable) -> None:
        """Log once that another host's file has replaced a route of this one's."""
        for name, says in differences(self._routes, table).items():
            if name not in self._told and table.records[name].set_by == "file":
                self._told.add(name)
                log.warning("route %s of the fleet file: %s", name, says)

    def _tell_of_own_shadows(self, store: RouteStore, table: RouteTable) -> None:
        """Log once that a shadow of the file's is the model that it is held against. Only its workers tell that."""
        routes = [table.live[name] for name in self._routes if name in table.live]
        pools = pools_by_model(store.client, store.keys, shadowed_models(routes))
        for route in routes:
            for says in own_shadows(route, pools):
                if says not in self._told:
                    self._told.add(says)
                    log.warning("route %s of the fleet file: %s", route.name, says)
