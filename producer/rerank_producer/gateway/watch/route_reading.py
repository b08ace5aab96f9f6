"""Reads the views of routes: with another reading's first trip, and in trips of their own where there are routes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rerank_producer.gateway.watch.route_view import LiveRouteView, route_view
from rerank_producer.routed.step import StepFigures, ask_step, read_step
from rerank_shared.keys import Keys
from rerank_shared.watch.routes import RouteQuestions, WatchedRoute


@dataclass(frozen=True, slots=True)
class RouteReading:
    """The reading; clients are asyncio's. Raises the exceptions of redis-py."""

    keys: Keys

    def ask(self, pipe: Any) -> None:
        """Queue the command whose answer `views` takes on."""
        self._questions.ask_first(pipe)

    async def views(self, client: Any, table: Mapping[bytes, bytes], now: float) -> list[LiveRouteView]:
        """Return the views at `now`, epoch seconds of the server: one more trip where there are routes, two while a
        rollout leads one of them.
        """
        if not table:
            return []
        self._questions.ask(pipe := client.pipeline(transaction=False), table)
        watched = self._questions.read(table, iter(await pipe.execute()))
        figures = await self._figures(client, watched)
        return [route_view(each, figures.get(each.route.name), now) for each in watched]

    @property
    def _questions(self) -> RouteQuestions:
        return RouteQuestions(self.keys)

    async def _figures(self, client: Any, watched: Sequence[WatchedRoute]) -> dict[str, StepFigures]:
        running = [each.rollout for each in watched if each.rollout is not None and not each.rollout.ended]
        if not running:
            return {}
        pipe = client.pipeline(transaction=False)
        for rollout in running:
            ask_step(pipe, self.keys, rollout)
        answers = iter(await pipe.execute())
        return {each.route: read_step(each, [next(answers) for _ in each.versions]) for each in running}
