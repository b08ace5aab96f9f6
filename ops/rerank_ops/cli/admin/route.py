"""`rerank-fleet route`: lists, shows, sets, rolls back and deletes routes, the names that stand for models."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from rerank_ops.cli.admin.checks.pools import serve
from rerank_ops.cli.console import err, out
from rerank_ops.cli.options import AsJson, RedisUrl, settings_from
from rerank_shared.contract.messages import RouteRecord
from rerank_shared.errors import ConfigurationError
from rerank_shared.keys import Keys
from rerank_shared.nearest import did_you_mean
from rerank_shared.redis.connections import connect, outages_told
from rerank_shared.route_store.serving import pools_by_model, unserved
from rerank_shared.route_store.store import RouteStore
from rerank_shared.route_store.table import RouteTable
from rerank_shared.routing.own_shadows import own_shadows, shadowed_models
from rerank_shared.routing.route import Route, Stage
from rerank_shared.routing.spec import plain, read_route, read_shares
from rerank_shared.settings.fleet_file import read_toml

route = typer.Typer(
    name="route", help="List, show, set, roll back or delete routes: names that stand for models.", no_args_is_help=True
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The route, as requests name it in `model`.")]
IfVersion = Annotated[
    int | None, typer.Option("--if-version", metavar="N", min=0, help="Only if the route has this version; 0: none.")
]
Shadow = Annotated[
    list[str] | None,
    typer.Option(
        "--shadow",
        metavar="MODEL=SHARE",
        help="A model that scores a share of the requests, 0 to 1, once more behind the callers; again for another "
        "one. none: no model does.",
    ),
]


@route.command("list")
def list_(as_json: AsJson = False, url: RedisUrl = None) -> None:
    """List routes with their shares, stages and shadows."""
    with _store(url, "listing routes") as store:
        table = store.table()
        named = {model for each in table.live.values() for model in each.models}
        dead = unserved(store.client, store.keys, sorted(named))
    if as_json:
        print(json.dumps([_fields(table, each, dead) for each in table.live.values()]))
    elif table.live:
        out.print(_table(table))
        for model in dead:
            err.print(f"warning: no live worker serves {model}: {serve(model)}")
    else:
        err.print("there is no route")
    for name in table.unreadable:
        err.print(f"warning: route {name} can't be read by this release; it counts as absent")


@route.command()
def show(
    name: Name,
    version: Annotated[int | None, typer.Option("--version", metavar="N", help="A version that is kept.")] = None,
    as_json: AsJson = False,
    url: RedisUrl = None,
) -> None:
    """Show a route, who set it, and the versions that it can be rolled back to."""
    with _store(url, "reading a route") as store:
        table, versions = store.table(), store.versions(name)
        found = _found(name, table) if version is None else store.version(name, version)
        dead = unserved(store.client, store.keys, found.models)
    record = next((each for each in versions if each.version == found.version), None)
    fields = {"name": name, "version": found.version, **plain(found), "without_workers": dead}
    if record is not None:
        fields |= {"set_by": f"{record.set_by} on {record.set_on}", "set_at": _moment(record)}
    fields["kept_versions"] = [each.version for each in versions]
    if as_json:
        print(json.dumps(fields))
        return
    for field, value in fields.items():
        out.print(f"{field:<17}{_told(found, field, value)}")


@route.command("set")
def set_(
    name: Name,
    shares: Annotated[
        list[str] | None, typer.Argument(metavar="MODEL=WEIGHT...", help="Models and their weights: minilm=95 v2=5.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", metavar="FILE", help="TOML with the route's fields, or with a table [routes.NAME]."),
    ] = None,
    shadow: Shadow = None,
    if_version: IfVersion = None,
    url: RedisUrl = None,
) -> None:
    """Set a route in one step; the version before is kept.

    Weights are relative: 95 and 5 are the same as 19 and 1. What else the route says stays, unless --file is given.
    """
    if bool(shares or shadow) == (file is not None):
        raise typer.BadParameter("give either MODEL=WEIGHT and --shadow, or --file")
    with _store(url, "setting a route") as store:
        table = store.table()
        if not shares and file is None:
            _found(name, table)
        fields = _of_file(file, name) if file is not None else _changed(table.live.get(name), shares, shadow)
        try:
            wanted = read_route(name, fields, table.live.keys() - {name})
        except ConfigurationError as error:
            raise ConfigurationError(f"route {name!r}: {error.message}") from None
        if name in table.unreadable:
            err.print(f"warning: the route's last version can't be read by this release and is replaced: {name}")
        _tell(store, store.set(wanted, if_version=if_version))


@route.command()
def rollback(
    name: Name,
    version: Annotated[
        int | None, typer.Argument(metavar="[VERSION]", help="A version that is kept. Unset: the one before.")
    ] = None,
    if_version: IfVersion = None,
    url: RedisUrl = None,
) -> None:
    """Make a new version of a route that equals an old one. A deleted route comes back."""
    with _store(url, "rolling a route back") as store:
        _tell(store, store.rollback(name, version, if_version=if_version))


@route.command()
def delete(name: Name, if_version: IfVersion = None, url: RedisUrl = None) -> None:
    """Delete a route. Requests that name it are refused from then on; `rollback` brings it back."""
    with _store(url, "deleting a route") as store:
        version = store.delete(name, if_version=if_version)
    err.print(f"{name}: deleted by version {version}; `rerank-fleet route rollback {name}` brings it back")


@contextmanager
def _store(url: str | None, doing: str) -> Iterator[RouteStore]:
    settings = settings_from(url)
    with connect(settings) as client, outages_told(settings, doing):
        yield RouteStore(client, Keys(settings.namespace))


def _found(name: str, table: RouteTable) -> Route:
    if name in table.live:
        return table.live[name]
    if table.deleted(name):
        raise ConfigurationError(f"route {name!r} was deleted; `rerank-fleet route rollback {name}` brings it back")
    raise ConfigurationError(f"there is no route {name!r}{did_you_mean(name, table.live)}")


def _of_file(path: Path, name: str) -> Any:
    """Return the fields of a file that has them at its top, or in a table of the route's name."""
    fields = read_toml(path)
    if "routes" not in fields:
        return fields
    tables = fields["routes"]
    if not isinstance(tables, dict) or name not in tables:
        raise ConfigurationError(f"{path} has no table [routes.{name}]")
    return tables[name]


def _changed(before: Route | None, shares: list[str] | None, shadow: list[str] | None) -> dict[str, Any]:
    fields = {} if before is None else plain(before)
    if shares:
        fields["shares"] = read_shares(shares)
    if shadow:
        fields["shadow"] = {} if shadow == ["none"] else read_shares(shadow, "shadow")
    return fields


def _tell(store: RouteStore, made: Route) -> None:
    """Say what a route is now, and what of it does not work yet."""
    more = "".join(f", {name} {said}" for name, said in (("stages", _stages(made)), ("shadow", _shadow(made))) if said)
    err.print(f"{made.name}: version {made.version}, {_shares(made)}{more}")
    for model in unserved(store.client, store.keys, made.models):
        only_shadow = model in made.only_shadows
        fate = "what it is to score is dropped" if only_shadow else "requests that meet it wait or fail"
        err.print(f"warning: no live worker serves {model}; {fate}")
    if made.shadow and made.stages:
        err.print("warning: the route has stages, so no shadow scores its requests")
    elif any(share.model in made.answering and len(made.shares) == 1 for share in made.shadow):
        err.print(f"warning: {made.main} answers all requests, so as a shadow it scores none")
    for says in own_shadows(made, pools_by_model(store.client, store.keys, shadowed_models([made]))):
        err.print(f"warning: {says}")


def _shadow(found: Route) -> str:
    """Return the shadows of a route, as `minilm-v2 5 %`; nothing where it has none."""
    return ", ".join(f"{share.model} {100 * share.weight:.3g} %" for share in found.shadow)


def _stages(found: Route) -> str:
    """Return the stages of a route, as `minilm, then bge for the best 20`; nothing where it has none."""
    if not found.stages:
        return ""
    first, *later = found.stages
    return ", ".join([first.model, *(f"then {stage.model} for {_kept(stage)}" for stage in later)])


def _kept(stage: Stage) -> str:
    if stage.keep is None:
        return "all"
    return "as many as fit" if stage.keep == "auto" else f"the best {stage.keep}"


def _shares(found: Route) -> str:
    return ", ".join(f"{share.model} {found.percent(share.model):.3g} %" for share in found.shares)


def _told(found: Route, field: str, value: Any) -> str:
    if field == "shares":
        return _shares(found)
    if field == "stages":
        return _stages(found)
    if field == "shadow":
        return _shadow(found)
    if field == "without_workers" or field == "kept_versions":
        return ", ".join(map(str, value)) or "none"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _table(table: RouteTable) -> Table:
    grid = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    found_in = {"stages": _stages, "shadow": _shadow}
    several = [column for column, told in found_in.items() if any(map(told, table.live.values()))]
    for column in ("route", "version", "shares", *several, "set", "about"):
        grid.add_column(column, overflow="fold")
    for name, found in sorted(table.live.items()):
        record = table.records[name]
        who = f"{_moment(record)} by {record.set_by} on {record.set_on}"
        more = [_told(found, column, "") for column in several]
        grid.add_row(name, str(found.version), _shares(found), *more, who, found.about)
    return grid


def _fields(table: RouteTable, found: Route, dead: Collection[str]) -> dict[str, Any]:
    record = table.records[found.name]
    about: dict[str, Any] = {"without_workers": [model for model in found.models if model in dead]}
    about |= {"set_by": record.set_by, "set_on": record.set_on, "set_at": _moment(record)}
    return {"name": found.name, "version": found.version, **plain(found), **about}


def _moment(record: RouteRecord) -> str:
    return datetime.fromtimestamp(record.set_at, UTC).isoformat(timespec="seconds")
