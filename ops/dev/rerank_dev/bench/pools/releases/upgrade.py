"""A rolling upgrade under steady load: of the model under a name, and of the code. What callers see of it.

Each old worker drains when a new one is ready for its place, so there is one process more than cores for a moment. The
model that comes has another activation, which makes it another scoring identity: another pool under the same name.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial, reduce
from pathlib import Path
from typing import Any

from rerank_dev.bench.pools.place import Place, told
from rerank_dev.bench.pools.releases.checkout import HERE, checkout
from rerank_dev.bench.pools.releases.driven import Client, Told
from rerank_dev.bench.pools.workers import Workers
from rerank_dev.bench.record import Figure
from rerank_shared.errors import ConfigurationError

P99_RATIO = 2.0
#: Candidates of a request, and what share of the fleet's throughput all clients take: one process must do while others
#: start beside it.
K, LOAD = 5, 0.15
_CALIBRATION, _IN_FLIGHT = 40, 4
#: Failures that are printed of each round.
_SHOWN = 3
#: The load begins so long before the upgrade and goes on so long after it.
_AROUND_S = 2.0
_QUERIES = 50
_ACTIVATIONS = ("sigmoid", "identity")


def upgrade(place: Place) -> list[Figure]:
    """Return failed requests, and p99 over that of the steady fleet, of both kinds of upgrade."""
    return [*_of_model(place), *_of_code(place)]


@dataclass(slots=True)
class _Seen:
    """What callers saw, by round."""

    steady: list[Told] = field(default_factory=list)
    rolled: list[Told] = field(default_factory=list)
    took_s: list[float] = field(default_factory=list)

    def figures(self, at: str) -> list[Figure]:
        """Return the figures of all rounds."""
        for each in (*self.steady, *self.rolled):
            for failure in each.failures[:_SHOWN]:
                print(f"{at}: one of {len(each.failures)} that failed: {failure}", file=sys.stderr)
        steady, rolled = ([each.p99_ms() for each in those] for those in (self.steady, self.rolled))
        ratios = [more / less for more, less in zip(rolled, steady, strict=True)]
        return [
            Figure.of(
                f"{at}: requests that failed", [len(each.failures) for each in self.rolled], "requests", "at most", 0
            ),
            Figure.of(f"{at}: p99 over that of the steady fleet", ratios, "ratio", "at most", P99_RATIO),
            Figure.of(f"{at}: p99", rolled, "ms"),
            Figure.of(f"{at}: p99 of the steady fleet", steady, "ms"),
            Figure.of(
                f"{at}: requests sent",
                [len(each.latencies_ms) + len(each.failures) for each in self.rolled],
                "requests",
            ),
            Figure.of(f"{at}: until all workers were replaced", self.took_s, "s"),
        ]


def _of_model(place: Place) -> list[Figure]:
    seen, settings = _Seen(), place.settings("upgrade-model", model=place.small)
    with Workers(settings, place.work) as workers:
        here, next_one = _ACTIVATIONS
        workers.start(place.scale.processes, activation=here)
        with Client(settings, HERE) as client:
            for number in range(place.scale.upgrades):
                _round(place, seen, [client], f"model {number}", partial(_replace, workers, activation=next_one))
                here, next_one = next_one, here
    return seen.figures(f"upgrade of the model, {told(place.small)}, k={K}, load {LOAD:.0%}")


def _of_code(place: Place) -> list[Figure]:
    try:
        base = checkout(place.base, place.kept)
        seen = _Seen()
        for number in range(place.scale.upgrades):
            _from_base(place, seen, base, number)
    except ConfigurationError as error:
        print(f"upgrade of the code: not measured, since the base does not run: {error.message}", file=sys.stderr)
        return []
    name = base.name.removeprefix("base-")
    return seen.figures(
        f"upgrade of the code from {name}, {told(place.small)}, k={K}, load {LOAD:.0%}, clients of both"
    )


def _from_base(place: Place, seen: _Seen, base: Path, number: int) -> None:
    settings = place.settings(f"upgrade-code-{number}", model=place.small)
    with ExitStack() as stack:
        workers = stack.enter_context(Workers(settings, place.work))
        workers.start(place.scale.processes, base)
        clients = [stack.enter_context(Client(settings, root)) for root in (base, HERE)]
        _round(place, seen, clients, f"code {number}", partial(_replace, workers, HERE))


def _round(place: Place, seen: _Seen, clients: list[Client], mark: str, act: Callable[[], None]) -> None:
    """Load the fleet while nothing happens, and again while `act` does."""
    saturated = clients[-1].send(place.queries(f"calibrate {mark}", _CALIBRATION, K), _IN_FLIGHT)
    per_s = LOAD * saturated.flawless().pairs_per_s / K
    seen.steady.append(_loaded(place, clients, per_s, f"steady {mark}", partial(time.sleep, place.scale.steady_s)))

    def timed() -> None:
        begun = time.monotonic()
        act()
        seen.took_s.append(time.monotonic() - begun)

    seen.rolled.append(_loaded(place, clients, per_s, f"rolled {mark}", timed))


def _loaded(place: Place, clients: list[Client], per_s: float, mark: str, act: Callable[[], None]) -> Told:
    """Return what callers see while `act` runs, and a little before and after it."""
    for number, client in enumerate(clients):
        client.begin(place.queries(f"{mark} {number}", _QUERIES, K), per_s / len(clients))
    time.sleep(_AROUND_S)
    act()
    time.sleep(_AROUND_S)
    return reduce(Told.with_all, [client.end() for client in clients])


def _replace(workers: Workers, root: Path | None = None, **changes: Any) -> None:
    for old in list(workers.running):
        workers.start(1, root, **changes)
        workers.stop(old)
