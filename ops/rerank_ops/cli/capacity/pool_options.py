"""Options of `simulate` and `plan` for several models: what each costs, who asks for it, and who serves it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rerank_ops.cli.capacity.workload_options import cost_of_text, cost_text, learned_cost
from rerank_shared.errors import ConfigurationError, InvalidRequest
from rerank_shared.keys import Keys
from rerank_shared.nearest import did_you_mean
from rerank_shared.redis.connections import connect, outages_told
from rerank_shared.route_store.store import RouteStore
from rerank_shared.routing.route import Route, Stage
from rerank_shared.routing.stages_text import refuse_beyond, stages_of
from rerank_shared.scheduling.cost import CostParameters
from rerank_shared.settings import Settings
from rerank_shared.settings.fleet_file import fleet_file_of, read_fleet_file

if TYPE_CHECKING:
    from rerank_ops.simulate.model.workload import Mix
    from rerank_ops.simulate.pools.mix import Pools, Traffic

_PANEL = "Several models"
Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model", metavar="NAME[=COST]", rich_help_panel=_PANEL,
        help="A model and its cost: as --cost has it, or one number, the tokens that a process runs a second. Unset, "
        "what the model's live workers have measured. Repeatable.",
    ),
]  # fmt: skip
TrafficText = Annotated[
    str | None,
    typer.Option(
        "--traffic", metavar="LIST", rich_help_panel=_PANEL,
        help="Models and cascades with their shares of requests, quoted, as in 'small:3,small>big@20:1'. Unset: those "
        "of --route, else all models alike.",
    ),
]  # fmt: skip
RouteName = Annotated[
    str | None,
    typer.Option(
        "--route", metavar="NAME", rich_help_panel=_PANEL,
        help="Take the traffic from a route's stages or shares: that of the running fleet, or of --route-file.",
    ),
]  # fmt: skip
RouteFile = Annotated[
    Path | None,
    typer.Option(
        "--route-file", metavar="FILE", exists=True, dir_okay=False, rich_help_panel=_PANEL,
        help="fleet.toml that has the route, and the models' shares of a process. Unset: the fleet's routes, and the "
        "shares of RERANK_FLEET_FILE.",
    ),
]  # fmt: skip
PoolTexts = Annotated[
    list[str] | None,
    typer.Option(
        "--pool", metavar="MODELS[:N]", rich_help_panel=_PANEL,
        help="Processes that serve the same models: small:4, or small+big:2 where each serves both. `plan` finds N. "
        "Repeatable. Unset: processes of its own for each model.",
    ),
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """What the options say of several models; see `wanted`."""

    models: Sequence[str]
    traffic: str | None
    route: str | None
    route_file: Path | None
    pools: Sequence[str]

    @classmethod
    def of(
        cls,
        models: Sequence[str] | None,
        traffic: str | None,
        route: str | None,
        route_file: Path | None,
        pools: Sequence[str] | None,
    ) -> Asked:
        """Return the options as they were given."""
        return cls(models or (), traffic, route, route_file, pools or ())

    @property
    def wanted(self) -> bool:
        """Whether several models are asked about, rather than one."""
        return bool(self.models or self.traffic or self.route or self.route_file or self.pools)

    def refuse(self, **others: object) -> None:
        """Raise InvalidRequest for options that are of one model alone, by their names."""
        for name, value in others.items():
            if value:
                option = f"--{name.replace('_', '-')}"
                raise InvalidRequest(f"{option} is for one model: it does not go with --model, --route and --pool")


def pools_asked(
    asked: Asked, settings: Settings, hand_off_s: float, processes: int | None, mix: Mix
) -> tuple[Pools, tuple[Traffic, ...]]:
    """Return the fleet and the traffic that the options ask about.

    `processes` are those of a pool without a number; None: a pool has none, since they are to be found. `mix` has the
    candidates, of which a stage can't keep more than there are. Raises InvalidRequest, ConfigurationError,
    QueueUnavailable.
    """
    from rerank_ops.simulate.model.spec import FleetSpec
    from rerank_ops.simulate.pools.mix import Pools, Traffic

    if asked.route_file is not None and asked.route is None:
        raise InvalidRequest("--route-file: say with --route which of its routes")
    if asked.route is not None and asked.traffic is not None:
        raise InvalidRequest("--route and --traffic say the same: give one")
    kinds = () if asked.route is None else _kinds(_route(asked.route, asked.route_file, settings))
    costs = _costs(asked.models, [stage.model for stages, _ in kinds for stage in stages], settings)
    traffic = [Traffic(stages, weight) for stages, weight in kinds or _traffic(asked.traffic, list(costs), mix)]
    specs = {
        model: replace(FleetSpec.of(settings, 1, cost, hand_off_s=hand_off_s), weight=weight)
        for (model, cost), weight in zip(costs.items(), _weights(costs, asked.route_file, settings), strict=True)
    }
    pools = Pools(specs, _groups(asked.pools, list(costs), processes))
    for stage in (stage for each in traffic for stage in each.stages):
        if not any(stage.model in group.models for group in pools.groups):
            raise InvalidRequest(f"--pool: no pool serves {stage.model!r}, which requests ask for")
    return pools, tuple(traffic)


def costs_told(pools: Pools) -> dict[str, str]:
    """Return the cost of each model as `--model` takes it."""
    return {model: cost_text(spec.cost) for model, spec in pools.specs.items()}


def _costs(words: Sequence[str], routed: Sequence[str], settings: Settings) -> dict[str, CostParameters]:
    """Return the cost of each model that options or a route name."""
    costs: dict[str, CostParameters] = {}
    for word in words:
        name, equals, cost = word.rpartition("=")
        model = name if equals else word
        if not model or model in costs:
            raise InvalidRequest(f"--model {word!r}: {'given twice' if model else 'a name expected before ='}")
        costs[model] = cost_of_text(cost, f"--model {word!r}") if equals else learned_cost(settings, model)
    for model in dict.fromkeys(routed):
        if model not in costs:
            costs[model] = learned_cost(settings, model)
    if not costs:
        raise InvalidRequest("--traffic, --pool: name the models with --model, or a --route")
    return costs


def _weights(models: Iterable[str], path: Path | None, settings: Settings) -> list[float | None]:
    """Return the share of a process's tokens that fleet.toml gives each model."""
    file = fleet_file_of(settings) if path is None else read_fleet_file(path)
    shares = {name: entry.share for entry in (file.models if file else ()) for name in entry.names}
    return [shares.get(model) for model in models]


def _route(name: str, path: Path | None, settings: Settings) -> Route:
    if path is not None:
        routes = dict(read_fleet_file(path).routes)
    else:
        with connect(settings) as client, outages_told(settings, "reading a route"):
            routes = dict(RouteStore(client, Keys(settings.namespace)).table().live)
    if name not in routes:
        where = settings.namespace if path is None else path
        raise ConfigurationError(f"--route: there is no route {name!r} in {where}{did_you_mean(name, routes)}")
    return routes[name]


def _kinds(route: Route) -> tuple[tuple[tuple[Stage, ...], float], ...]:
    """Return the kinds of requests that a route makes: all by its stages, or each share to its model."""
    if route.stages:
        return ((route.stages, 1.0),)
    return tuple(((Stage(share.model),), share.weight) for share in route.shares)


def _traffic(text: str | None, models: Sequence[str], mix: Mix) -> list[tuple[tuple[Stage, ...], float]]:
    if text is None:
        return [((Stage(model),), 1.0) for model in models]
    found = []
    for item in text.split(","):
        kind, weight = _weighed(item.strip(), models)
        stages = stages_of(kind, models, option="--traffic", auto=True)
        refuse_beyond(stages, max(count for count, _ in mix.k), f"--traffic {kind!r}")
        found.append((stages, weight))
    if twice := next((stages for stages, _ in found if sum(stages == other for other, _ in found) > 1), None):
        raise InvalidRequest(f"--traffic: {' > '.join(stage.model for stage in twice)} stands there twice")
    return found


def _weighed(item: str, models: Sequence[str]) -> tuple[str, float]:
    """Return a kind of traffic and its weight, 1 where none is given: names may have colons."""
    kind, colon, number = item.rpartition(":")
    try:
        weight = float(number) if colon else 1.0
    except ValueError:
        if _is_kind(kind, models) and not _is_kind(item, models):
            raise InvalidRequest(
                f"--traffic: {item!r}: {number!r} is no number; a share above 0 expected after the colon"
            ) from None
        return item, 1.0
    if not 0 < weight < float("inf"):
        raise InvalidRequest(f"--traffic: {item!r}: a share above 0 expected")
    return (kind if colon else item), weight


def _is_kind(text: str, models: Sequence[str]) -> bool:
    try:
        return bool(stages_of(text, models, option="--traffic", auto=True))
    except ConfigurationError:
        return False


def _groups(words: Sequence[str], models: Sequence[str], processes: int | None) -> tuple[Any, ...]:
    from rerank_ops.simulate.pools.mix import Group

    groups = []
    for word in words or models:
        names, colon, number = word.rpartition(":")
        if not (colon and number.isascii() and number.isdigit()):
            names, number = word, ""
        if number and processes is None:
            raise InvalidRequest(f"--pool {word!r}: `plan` finds the number of processes; leave it out")
        if number and int(number) < 1:
            raise InvalidRequest(f"--pool {word!r}: one process at least expected")
        served = (names,) if names in models else tuple(name.strip() for name in names.split("+"))
        for name in served:
            if name not in models or served.count(name) > 1:
                wrong = "stands there twice" if name in models else f"is no model here{did_you_mean(name, models)}"
                raise InvalidRequest(f"--pool {word!r}: {name!r} {wrong}")
        groups.append(Group(served, int(number) if number else processes or 1))
    if len({group.models for group in groups}) < len(groups):
        raise InvalidRequest("--pool: the same models stand in two pools: add up their processes")
    return tuple(groups)
