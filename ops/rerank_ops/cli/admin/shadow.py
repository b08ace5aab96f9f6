"""`rerank-fleet shadow`: what the models showed that score a sample of a route's requests once more."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from rerank_ops.cli.console import err, one_line, out
from rerank_ops.cli.options import AsJson, RedisUrl, settings_from
from rerank_ops.shadow_report import Row, found_of, without_figures
from rerank_shared.drift.agreement import TOP
from rerank_shared.drift.figures import SIDES
from rerank_shared.drift.worst import WorstQuery
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import connect, outages_told
from rerank_shared.route_store.store import RouteStore
from rerank_shared.routing.route import Route

shadow = typer.Typer(
    name="shadow", help="Shadows: models that score a sample of requests once more.", no_args_is_help=True
)
#: Queries that the table shows of one shadow; --json has all that are kept.
_SHOWN = 5
#: A digest has as many; the text of a query, where it is kept, is cut to them.
_NAME_CHARS = 32


@shadow.callback()
def _shadow() -> None: ...


@shadow.command()
def report(
    route: Annotated[str | None, typer.Argument(metavar="[ROUTE]", help="A route. Unset: all of them.")] = None,
    as_json: AsJson = False,
    url: RedisUrl = None,
) -> None:
    """Show how far each shadow lay from the live model, what both cost, and the queries on which they agree least.

    The newest version of a route stands first. Figures are kept for 7 days after the last request of their version.
    """
    settings = settings_from(url)
    with connect(settings) as client, outages_told(settings, "reading what shadows showed"):
        store = RouteStore(client, Keys(settings.namespace))
        rows = found_of(store, route)
        waiting = without_figures(store.table().live.values(), rows, route)
    if as_json:
        print(json.dumps([row.plain() for row in rows]))
        return
    if not rows and not waiting:
        err.print("no shadow has scored a request; `rerank-fleet route set ROUTE --shadow MODEL=SHARE` adds one")
    for each in waiting:
        err.print(_why_none(each))
    for row in rows:
        _print(row)


def _why_none(route: Route) -> str:
    name = f"{route.name} version {route.version}"
    if route.stages:
        return f"{name} has stages, so no shadow scores its requests"
    shadows = " and ".join(share.model for share in route.shadow)
    return (
        f"{name}, shadow {shadows}: no figures yet; they come within seconds of an interactive request by the route, "
        "if it is in the sample"
    )


def _print(row: Row) -> None:
    figures = row.figures
    heading = f"{row.route} version {row.version}: {row.models.live}, shadow {row.models.shadow}"
    out.print(heading, style="bold", soft_wrap=True)
    reasons = ", ".join(f"{count} {reason}" for reason, count in figures.dropped.items())
    dropped = f", dropped {sum(figures.dropped.values())}: {reasons}" if reasons else ""
    told = [
        ("requests", f"{figures.sampled} sampled, {figures.compared} compared{dropped}"),
        ("difference", f"mean {_number(figures.mean_difference)}, P99 {_number(figures.p99_difference)}"),
        ("Spearman", f"mean {_number(figures.mean('spearman'))}"),
        (f"top {TOP}", f"overlap {_share(figures.mean('overlap'))}, order {_share(figures.mean('order'))}"),
        ("same first", _share(figures.same_first)),
        ("truncated", ", ".join(f"{side} {_share(figures.truncated(side))}" for side in SIDES)),
        ("tokens", ", ".join(f"{side} {_number(figures.tokens(side), '.0f')} a request" for side in SIDES)),
        ("seconds", ", ".join(f"{side} {_number(figures.seconds(side))} a request" for side in SIDES)),
    ]
    for name, text in told if figures.compared else told[:1]:
        out.print(f"  {name:<12}{text}", soft_wrap=True)
    if row.worst:
        heads = f"{'documents':>9}{'overlap':>9}{'Spearman':>10}{'difference':>12}"
        out.print(f"  {'worst queries':<34}{heads}", soft_wrap=True)
    for each in row.worst[:_SHOWN]:
        out.print(_line(each), soft_wrap=True)


def _line(worst: WorstQuery) -> str:
    name = worst.query_digest if worst.query is None else one_line(worst.query)
    shown = name if len(name) <= _NAME_CHARS else f"{name[: _NAME_CHARS - 1]}…"
    measures = f"{_share(worst.overlap):>9}{_number(worst.spearman):>10}{_number(worst.mean_difference):>12}"
    return f"  {shown:<34}{worst.documents:>9}{measures}"


def _number(value: float | None, form: str = ".4f") -> str:
    return "unknown" if value is None else format(value, form)


def _share(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.1%}"
