"""`rerank-fleet rollout`: leads a route from its model to a new one, step by step, and back if the new one is worse."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rerank_ops.cli.options import AsJson, RedisUrl, settings_from
from rerank_shared.keys import ROUTED_TTL_S, Keys
from rerank_shared.redis.connections import connect, outages_told
from rerank_shared.route_store.store import RouteStore
from rerank_shared.routing.rollout_plan import Bounds, Plan

if TYPE_CHECKING:
    from rerank_ops.cli.rollout.leading import Leading

_DEFAULT = Plan()
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3_600.0}
#: The requests of a step are kept for two days after the last of them.
_LONGEST_HOLD_S = ROUTED_TTL_S / 2


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text)
    if found is None or not 0 < (seconds := float(found[1]) * _UNITS[found[2]]) <= _LONGEST_HOLD_S:
        raise typer.BadParameter(f"a time up to 24h expected, such as 60s, 5m or 1h, not {text!r}")
    return seconds


def _steps(text: str) -> tuple[float, ...]:
    try:
        steps = tuple(float(step) for step in text.split(","))
    except ValueError:
        steps = ()
    if not steps or steps[-1] != 100 or steps[0] <= 0 or list(steps) != sorted(set(steps)):
        raise typer.BadParameter(f"rising percentages that end with 100 expected, such as 1,5,25,100, not {text!r}")
    return steps


RouteName = Annotated[str, typer.Argument(metavar="ROUTE", help="A route that leads to one model.")]
New = Annotated[str | None, typer.Argument(metavar="[NEW]", help="The model that it is to lead to.")]
Steps = Annotated[str, typer.Option("--steps", metavar="PERCENT,...", help="Shares of the new model, up to 100.")]
Hold = Annotated[str, typer.Option("--hold", metavar="TIME", help="How long each share is held: 60s, 5m, 1h.")]
MaxHold = Annotated[
    str | None,
    typer.Option("--max-hold", metavar="TIME", help="The longest that a share is held. Unset: 20 times --hold."),
]
MinRequests = Annotated[
    int, typer.Option("--min-requests", metavar="N", min=1, help="Requests of the new model that a step needs.")
]
MaxErrorShare = Annotated[
    float,
    typer.Option(
        "--max-error-share", metavar="SHARE", min=0, max=1, help="Share of failed requests, above the old model's."
    ),
]
MaxP95Ratio = Annotated[
    float,
    typer.Option("--max-p95-ratio", metavar="RATIO", min=0.1, help="P95 of requests over the old model's."),
]
MaxDrift = Annotated[
    float | None,
    typer.Option("--max-drift", metavar="D", min=0, help="Mean difference of scores; needs --drift-sample."),
]
DriftSample = Annotated[
    Path | None,
    typer.Option(
        "--drift-sample",
        metavar="FILE",
        exists=True,
        dir_okay=False,
        help="JSONL of queries with documents that both models score, in class bulk, before the first step.",
    ),
]
Wait = Annotated[
    str, typer.Option("--wait", metavar="TIME", help="How long to wait for a live process of the new model.")
]
Status = Annotated[bool, typer.Option("--status", help="Show the last rollout of the route.")]
Abort = Annotated[bool, typer.Option("--abort", help="Give the old model its whole share back, in one step.")]


def rollout(
    route: RouteName,
    new: New = None,
    steps: Steps = "1,5,25,100",
    hold: Hold = "60s",
    max_hold: MaxHold = None,
    min_requests: MinRequests = _DEFAULT.min_requests,
    max_error_share: MaxErrorShare = _DEFAULT.bounds.error_share,
    max_p95_ratio: MaxP95Ratio = _DEFAULT.bounds.p95_ratio,
    max_drift: MaxDrift = None,
    drift_sample: DriftSample = None,
    wait: Wait = "10m",
    status: Status = False,
    abort: Abort = False,
    as_json: AsJson = False,
    url: RedisUrl = None,
) -> None:
    """Lead a route to a new model, step by step; go back by itself where the new one is worse than the bounds.

    Errors and durations are those that gateways count. The same command again goes on where a killed one stopped.
    """
    if status + abort + (new is not None) != 1:
        raise typer.BadParameter("give a NEW model, --status or --abort")
    if max_drift is not None and drift_sample is None:
        raise typer.BadParameter("--max-drift needs --drift-sample")
    hold_s = _seconds(hold)
    longest_s = min(20 * hold_s, _LONGEST_HOLD_S) if max_hold is None else _seconds(max_hold)
    bounds = Bounds(max_error_share, max_p95_ratio, max_drift)
    plan = Plan(_steps(steps), hold_s, max(hold_s, longest_s), min_requests, bounds)
    with _opened(url) as command:
        if status:
            command.show(route, as_json=as_json)
        elif abort:
            command.turn_back(route)
        else:
            command.roll_out(route, str(new), plan, drift_sample, _seconds(wait))


@contextmanager
def _opened(url: str | None) -> Iterator[Leading]:
    from rerank_ops.cli.rollout.leading import Leading

    settings = settings_from(url)
    with connect(settings) as client, outages_told(settings, "rolling out"):
        yield Leading(settings, RouteStore(client, Keys(settings.namespace)))
