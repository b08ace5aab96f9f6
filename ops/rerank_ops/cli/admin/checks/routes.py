"""Check of the routes: fleet.toml against what is in force, models without workers, records that can't be read."""

from __future__ import annotations

from collections.abc import Iterator

from rerank_ops.cli.admin.checks.finding import Finding
from rerank_ops.cli.admin.checks.pools import serve
from rerank_shared.errors import ConfigurationError, RerankError
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import connect, outages_told
from rerank_shared.route_store.seeding import differences
from rerank_shared.route_store.serving import pools_by_model, unserved
from rerank_shared.route_store.store import RouteStore
from rerank_shared.route_store.table import RouteTable
from rerank_shared.routing.own_shadows import PoolsByModel, own_shadows, shadowed_models
from rerank_shared.settings import Settings
from rerank_shared.settings.fleet_file import FleetFile, fleet_file_of


def check_fleet_file(settings: Settings) -> Iterator[Finding]:
    """Yield what is wrong with fleet.toml, nothing where it is right or there is none."""
    try:
        fleet_file_of(settings)
    except ConfigurationError as error:
        yield Finding("fleet file", "fail", error.message, "correct it; gateways and workers would not start")


def check_routes(settings: Settings) -> Iterator[Finding]:
    """Yield the findings on routes, nothing without any; needs a server that answers."""
    try:
        file = fleet_file_of(settings)
    except ConfigurationError:
        # `check_fleet_file` reports it.
        file = None
    try:
        with connect(settings) as client, outages_told(settings, "reading routes"):
            store = RouteStore(client, Keys(settings.namespace))
            table = store.table()
            named = sorted({model for route in table.live.values() for model in route.models})
            dead = unserved(client, store.keys, named)
            pools = pools_by_model(client, store.keys, shadowed_models(table.live.values()))
    except RerankError as error:
        yield Finding("routes", "fail", error.message)
        return
    found = [*_of_file(file, table), *_unreadable(table), *_without_workers(table, dead)]
    found += _shadows_of_themselves(table, pools)
    yield from found
    if table.live and not found:
        told = ", ".join(f"{name} (version {route.version})" for name, route in sorted(table.live.items()))
        yield Finding("routes", "ok", told)


def _of_file(file: FleetFile | None, table: RouteTable) -> Iterator[Finding]:
    if file is None:
        return
    for name, says in differences(file.routes, table).items():
        fix = f"compare the file with `rerank-fleet route show {name}`"
        yield Finding("routes", "warn", f"{file.path}: {name}: {says}", fix)


def _unreadable(table: RouteTable) -> Iterator[Finding]:
    for name in table.unreadable:
        message = f"{name} can't be read by this release, for which it is absent"
        yield Finding("routes", "warn", message, f"run one release everywhere, or `rerank-fleet route set {name}` anew")


def _without_workers(table: RouteTable, dead: list[str]) -> Iterator[Finding]:
    for model in dead:
        named = [route for _, route in sorted(table.live.items()) if model in route.models]
        led = ", ".join(route.name for route in named if model not in route.only_shadows)
        shadowed = ", ".join(route.name for route in named)
        message = f"no live worker serves {model}, " + (f"to which {led} leads" if led else f"the shadow of {shadowed}")
        yield Finding("routes", "warn", message, f"serve it by {serve(model)}, or set the route anew")


def _shadows_of_themselves(table: RouteTable, pools: PoolsByModel) -> Iterator[Finding]:
    for name, route in sorted(table.live.items()):
        for says in own_shadows(route, pools):
            fix = f"`rerank-fleet route set {name} --shadow ANOTHER_MODEL=SHARE`, or `--shadow none`"
            yield Finding("routes", "warn", f"{name}: {says}", fix)
