"""Workload options of `simulate`, `plan` and `redis-load`: requests, and the cost of running them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, TypeVar

import typer

from rerank_ops.cli.console import out
from rerank_shared.contract.messages import name_of
from rerank_shared.errors import InvalidRequest
from rerank_shared.fleet import read_costs
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import connect, outages_told
from rerank_shared.redis.server_clock import server_epoch
from rerank_shared.scheduling.cost import CostParameters, typical
from rerank_shared.settings import Settings

_T = TypeVar("_T")
#: About MiniLM-L12 in int8 on one core of a server: a pair of 100 tokens takes 15.5 ms.
DEFAULT_COST = CostParameters(0.0005, 140e-6, 100e-9)

K = Annotated[str, typer.Option("--k", metavar="LIST", help="Pairs of a request, with weights: 10:5,50:3,100.")]
Tokens = Annotated[float, typer.Option("--tokens", metavar="N", min=1.0, help="Tokens of a pair, on average.")]
Spread = Annotated[
    float, typer.Option("--spread", min=0.0, max=3.0, help="Spread of --tokens: standard deviation of their logarithm.")
]
DeadlineMs = Annotated[float, typer.Option("--deadline-ms", metavar="MS", min=1.0, help="Deadline of a request.")]
CostText = Annotated[
    str | None,
    typer.Option(
        "--cost",
        metavar="MS,US,NS",
        help="Cost of running: ms a run, us a token, ns a token and token of its length. "
        "Unset: 0.5,140,100, MiniLM-L12 in int8 on one core.",
    ),
]
FromFleet = Annotated[
    bool, typer.Option("--from-fleet", help="Take the cost that the running fleet has learned for RERANK_MODEL.")
]
HandOffMs = Annotated[
    float, typer.Option("--hand-off-ms", metavar="MS", min=0.0, help="Time of a request besides waiting and running.")
]
Noise = Annotated[
    float, typer.Option("--noise", min=0.0, max=3.0, help="Noise of run times: standard deviation of their logarithm.")
]
Seed = Annotated[int, typer.Option("--seed", help="Seed of all random numbers.")]


def choices(text: str, name: str, value_of: Callable[[str], _T]) -> tuple[tuple[_T, float], ...]:
    """Return the values of a list like `a:3,b` with their weights, 1 where none is given. Raises InvalidRequest."""
    found = []
    for item in text.split(","):
        value, _, weight = item.partition(":")
        try:
            found.append((value_of(value.strip()), float(weight or 1)))
        except ValueError:
            raise InvalidRequest(f"--{name}: {item!r} is not a value, or a value:weight") from None
    if not all(weight >= 0 for _, weight in found) or not sum(weight for _, weight in found) > 0:
        raise InvalidRequest(f"--{name}: weights of at least 0 expected, one of them above it")
    return tuple(found)


def candidates(text: str) -> tuple[tuple[int, float], ...]:
    """Return the numbers of pairs in `--k` with their weights. Raises InvalidRequest."""
    found = choices(text, "k", int)
    if min(count for count, _ in found) < 1:
        raise InvalidRequest("--k: a request has at least one candidate")
    return found


def cost_of(settings: Settings, text: str | None, *, from_fleet: bool) -> CostParameters:
    """Return the cost of running: the running fleet's, the one in `text`, or the default.

    Raises InvalidRequest, QueueUnavailable.
    """
    if from_fleet:
        return learned_cost(settings, settings.model)
    return DEFAULT_COST if text is None else _three_numbers(text, "--cost")


def cost_of_text(text: str, what: str) -> CostParameters:
    """Return the cost of a text: as `--cost` takes it, or the tokens that a process runs a second.

    Raises InvalidRequest, which begins with `what`.
    """
    if "," in text:
        return _three_numbers(text, what)
    try:
        tokens_per_s = float(text)
    except ValueError:
        tokens_per_s = 0.0
    if not 0 < tokens_per_s < math.inf:
        raise InvalidRequest(f"{what}: three numbers like 0.5,140,100 expected, or tokens a second, not {text!r}")
    return CostParameters(0.0, 1 / tokens_per_s, 0.0)


def _three_numbers(text: str, what: str) -> CostParameters:
    try:
        run_ms, token_us, token_longest_ns = (float(number) for number in text.split(","))
    except ValueError:
        raise InvalidRequest(f"{what}: three numbers like 0.5,140,100 expected, not {text!r}") from None
    if min(run_ms, token_us, token_longest_ns) < 0 or not run_ms + token_us + token_longest_ns > 0:
        raise InvalidRequest(f"{what}: numbers of at least 0 expected, one of them above it")
    return CostParameters(run_ms / 1e3, token_us / 1e6, token_longest_ns / 1e9)


def cost_text(cost: CostParameters) -> str:
    """Return a cost as `--cost` takes it."""
    return f"{cost.run_s * 1e3:.4g},{cost.token_s * 1e6:.4g},{cost.token_longest_s * 1e9:.4g}"


def tell_cost(cost: CostParameters) -> None:
    """Print the cost of running that was used."""
    told = "ms a run, us a token, ns a token and token of its length"
    out.print(f"\ncost: {cost_text(cost)} ({told})", style="dim", soft_wrap=True)


def learned_cost(settings: Settings, source: str) -> CostParameters:
    """Return the cost that the running fleet has learned of a model. Raises InvalidRequest, QueueUnavailable."""
    model = name_of(source)
    with connect(settings) as client, outages_told(settings, "reading what running costs"):
        known = read_costs(client.hgetall(Keys(settings.namespace).cost(model)))
        cost = typical(known.values(), server_epoch(client))
    if cost is None:
        raise InvalidRequest(
            f"no worker of namespace {settings.namespace!r} has told what running {model!r} costs: start one, name its "
            "model with RERANK_MODEL or --model, or give its cost"
        )
    return cost
