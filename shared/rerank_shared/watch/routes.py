"""Routes as they are watched: each with its last rollout, in one reading for metrics, the live view and the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rerank_shared.keys import Keys
from rerank_shared.route_store.rollouts import read_rollout
from rerank_shared.route_store.table import ask_table, read_table
from rerank_shared.routing.rollout import Record
from rerank_shared.routing.route import Route


@dataclass(frozen=True, slots=True)
class WatchedRoute:
    """A route with the rollout that made its version, or began with it; None where there is none.

    `led`: whether a command leads the rollout now.
    """

    route: Route
    rollout: Record | None = None
    led: bool = False

    @property
    def shares(self) -> Mapping[str, float]:
        """The share of its requests that each of its models answers, 0 to 1; with stages each answers all."""
        route = self.route
        if route.stages:
            return dict.fromkeys(route.answering, 1.0)
        return {model: route.percent(model) / 100 for model in route.answering}


@dataclass(frozen=True, slots=True)
class RouteQuestions:
    """The commands that read the routes, for either kind of pipeline, in two parts: the second depends on the first."""

    keys: Keys

    def ask_first(self, pipe: Any) -> None:
        """Queue the first part, of one command."""
        ask_table(pipe, self.keys)

    def ask(self, pipe: Any, first: Mapping[bytes, bytes]) -> None:
        """Queue the second part: two commands a live route."""
        for name in sorted(read_table(first).live):
            pipe.get(self.keys.rollout(name))
            pipe.get(self.keys.rollout_holder(name))

    def read(self, first: Mapping[bytes, bytes], answers: Iterator[Any]) -> tuple[WatchedRoute, ...]:
        """Return the routes by name from the answers to both parts."""
        live = read_table(first).live
        return tuple(_watched(live[name], read_rollout(next(answers)), next(answers)) for name in sorted(live))


def _watched(route: Route, rollout: Record | None, holder: bytes | None) -> WatchedRoute:
    """Return the route; a rollout after which somebody else has changed it is over and told no more."""
    if rollout is None or not (rollout.version == route.version or rollout.made_by(route)):
        return WatchedRoute(route)
    return WatchedRoute(route, rollout, holder is not None)


def read_routes(client: Any, keys: Keys) -> Sequence[WatchedRoute]:
    """Read the routes: two round trips, one where there are none."""
    questions = RouteQuestions(keys)
    questions.ask_first(pipe := client.pipeline(transaction=False))
    (first,) = pipe.execute()
    questions.ask(pipe := client.pipeline(transaction=False), first)
    return questions.read(first, iter(pipe.execute()))
