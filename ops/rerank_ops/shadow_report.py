"""What shadows showed, read from Redis: a row for each version of a route and each pair of models."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from rerank_shared.drift.figures import SIDES, Models, ShadowFigures, read_figures
from rerank_shared.drift.worst import WorstQuery, read_worst
from rerank_shared.errors import ConfigurationError
from rerank_shared.nearest import did_you_mean
from rerank_shared.route_store.store import RouteStore
from rerank_shared.routing.route import Route


@dataclass(frozen=True, slots=True)
class Row:
    """What one shadow showed beside one live model under one version of a route; `worst` has the worst query first."""

    route: str
    version: int
    models: Models
    figures: ShadowFigures
    worst: list[WorstQuery]

    def plain(self) -> dict[str, Any]:
        """Return the row as JSON has it."""
        figures = self.figures
        return {
            "route": self.route,
            "version": self.version,
            "live": self.models.live,
            "shadow": self.models.shadow,
            "sampled": figures.sampled,
            "compared": figures.compared,
            "dropped": figures.dropped,
            "pairs": figures.pairs,
            "mean_difference": figures.mean_difference,
            "p99_difference": figures.p99_difference,
            "spearman": figures.mean("spearman"),
            "overlap": figures.mean("overlap"),
            "order": figures.mean("order"),
            "same_first": figures.same_first,
            "truncated": {side: figures.truncated(side) for side in SIDES},
            "tokens": {side: figures.tokens(side) for side in SIDES},
            "seconds": {side: figures.seconds(side) for side in SIDES},
            "worst": [each.model_dump(exclude_none=True, exclude={"rank", "live", "shadow"}) for each in self.worst],
        }


def found_of(store: RouteStore, route: str | None) -> list[Row]:
    """Return what is known of one route, or of all: by name, the newest version first.

    Raises ConfigurationError for a route that is not there, and the exceptions of redis-py.
    """
    table = store.table()
    if route is not None and route not in table.live and not table.deleted(route):
        raise ConfigurationError(f"there is no route {route!r}{did_you_mean(route, table.live)}")
    names = sorted(table.live) if route is None else [route]
    places = [(name, record.version) for name in names for record in store.versions(name)]
    pipe = store.client.pipeline(transaction=False)
    for name, version in places:
        pipe.hgetall(store.keys.shadowed(name, version))
        pipe.hgetall(store.keys.shadow_worst(name, version))
    answers = cast(list[dict[bytes, bytes]], pipe.execute() if places else [])
    rows = []
    for (name, version), counts, queries in zip(places, answers[::2], answers[1::2], strict=True):
        worst = read_worst(queries)
        for models, figures in sorted(read_figures(counts).items(), key=lambda item: (item[0].shadow, item[0].live)):
            of_models = [each for each in worst if (each.live, each.shadow) == (models.live, models.shadow)]
            rows.append(Row(name, version, models, figures, of_models))
    return rows


def without_figures(routes: Iterable[Route], rows: Sequence[Row], name: str | None) -> list[Route]:
    """Return the routes, or the one of a name, that have a shadow of which no row tells under their live version."""
    told = {(row.route, row.version) for row in rows}
    asked = (route for route in routes if name in (None, route.name))
    return [route for route in asked if route.shadow and (route.name, route.version) not in told]
