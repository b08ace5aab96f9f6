"""A canary that is bad on purpose, under steady load through a gateway: how long the rollout takes to go back, and why.

One is slow: the big model in the place of the small one. One dies: its worker is killed in its step.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from rerank_dev.bench.pools.by_http import SteadyHttp
from rerank_dev.bench.pools.place import Place, told
from rerank_dev.bench.pools.workers import Workers, environ_of
from rerank_dev.bench.record import Figure
from rerank_dev.bench.served import CLI, served_gateway
from rerank_producer.routed.figures import P95_REQUESTS
from rerank_shared.errors import InternalError
from rerank_shared.keys import Keys
from rerank_shared.model_names import name_of
from rerank_shared.redis.connections import connect
from rerank_shared.route_store.store import RouteStore
from rerank_shared.routing.spec import read_route
from rerank_shared.settings import Settings

HOLDS = 2.0
ROUTE, PERCENT = "bench", 50.0
#: Below what one process of the big model serves of its half.
K, PER_S = 3, 6.0
#: What goes to a dead canary fails so soon.
_DEADLINE_MS = 2_000
_POLL_S = 0.2


@dataclass(slots=True)
class _Seen:
    """What became of canaries of one kind, by round; `holds` of those that went back."""

    holds: list[float] = field(default_factory=list)
    back: list[float] = field(default_factory=list)
    failed: list[float] = field(default_factory=list)

    def figures(self, at: str) -> list[Figure]:
        """Return the figures of all rounds."""
        took = f"{at}: from its share until it had none, in hold times"
        return [
            Figure.of(f"{at}: went back with a reason", self.back, "share", "at least", 1.0),
            *([Figure.of(took, self.holds, "holds", "at most", HOLDS)] if self.holds else []),
            Figure.of(f"{at}: requests that failed meanwhile", self.failed, "requests"),
        ]


def canary(place: Place) -> list[Figure]:
    """Return how long each bad canary had its share, in hold times, and whether it went back with a reason."""
    slow = (f"canary that is slow, {told(place.big)} for {told(place.small)}", (), lambda _: None)
    # Of a dead one durations say nothing.
    dying = ("canary that dies", ("--max-p95-ratio", "1000"), _kill_last)
    figures = []
    for number, (at, options, spoil) in enumerate((slow, dying)):
        seen = _Seen()
        for again in range(place.scale.upgrades):
            _round(place, place.settings(f"canary-{number}-{again}", model=place.small), seen, options, spoil)
        figures += seen.figures(f"{at}, hold {place.scale.hold_s:g} s")
    return figures


def _kill_last(workers: Workers) -> None:
    workers.kill(workers.running[-1])


def _round(
    place: Place, settings: Settings, seen: _Seen, options: tuple[str, ...], spoil: Callable[[Workers], None]
) -> None:
    with connect(settings) as redis, Workers(settings, place.work) as workers:
        store = RouteStore(redis, Keys(settings.namespace))
        store.set(read_route(ROUTE, {"shares": {name_of(place.small): 1}}))
        workers.start()
        workers.start(model=place.big)
        with served_gateway(settings, place.work / f"{settings.namespace}.gateway.log") as gateway:
            load = SteadyHttp(gateway.url, ROUTE, place.queries(settings.namespace, 50, K), PER_S, _DEADLINE_MS)
            with load, _Rollout(place, settings, options) as rollout:
                begun = rollout.wait_for(store, version=2)
                spoil(workers)
                # The last version: back, or to the canary alone.
                holds = (rollout.wait_for(store, version=3) - begun) / place.scale.hold_s
                back = rollout.went_back(name_of(place.small), store)
                seen.back.append(float(back))
                seen.holds += [holds] if back else []
            seen.failed.append(float(load.failed))


class _Rollout:
    """`rerank-fleet rollout` as a process of its own; a context manager."""

    def __init__(self, place: Place, settings: Settings, options: tuple[str, ...]) -> None:
        hold = (
            "--steps",
            f"{PERCENT:g},100",
            "--hold",
            f"{place.scale.hold_s:g}s",
            "--min-requests",
            str(P95_REQUESTS),
        )
        command = ("rollout", ROUTE, name_of(place.big), *hold, *options)
        self._log = place.work / f"{settings.namespace}.rollout.log"
        with self._log.open("wb") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-c", CLI, *command], env=environ_of(settings), stdout=out, stderr=subprocess.STDOUT
            )

    def wait_for(self, store: RouteStore, version: int) -> float:
        """Return the time at which the route has a version. Raises InternalError where the command ends before."""
        while store.table().version(ROUTE) < version:
            if self._process.poll() is not None and store.table().version(ROUTE) < version:
                raise InternalError(f"the rollout ended before version {version}: {self._log.read_text()[-2_000:]}")
            time.sleep(_POLL_S)
        return time.monotonic()

    def went_back(self, old: str, store: RouteStore) -> bool:
        """Return whether the old model has all again, and the command has said why."""
        shares = store.table().live[ROUTE].shares
        if [share.model for share in shares] != [old]:
            return False
        self._process.wait()
        reason = next((line for line in self._log.read_text().splitlines() if line.startswith("goes back: ")), "")
        print(reason, file=sys.stderr)
        return bool(reason)

    def __enter__(self) -> _Rollout:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.terminate()
        self._process.wait()
