"""`rerank-fleet up`: runs a whole fleet in the foreground, with its own server where none is configured."""

from __future__ import annotations

from typing import Annotated

import typer

from rerank_ops.cli.options import Models, Processes, RedisUrl, Unsafe, refused_for_good, served
from rerank_ops.cli.rank.fleet import run_workers
from rerank_ops.effective import effective_line
from rerank_ops.local.redis_server import ensure_server, is_given
from rerank_shared.settings import Settings, load_settings

Min = Annotated[
    int | None,
    typer.Option("--min", metavar="N", min=1, help="Fewest worker processes. Unset: RERANK_MIN_PROCESSES, or 1."),
]
Max = Annotated[
    int | None,
    typer.Option(
        "--max",
        metavar="N",
        min=1,
        help="Most worker processes; they start and stop by the backlog and the load. Unset: RERANK_MAX_PROCESSES, or "
        "as many as --processes all the time.",
    ),
]


def up(
    models: Models = None,
    processes: Processes = None,
    least: Min = None,
    most: Max = None,
    url: RedisUrl = None,
    unsafe: Unsafe = False,
) -> None:
    """Run a whole fleet on this machine, until Ctrl-C.

    It uses the server in --redis-url, RERANK_REDIS_URL or REDIS_URL. If none is set, it starts one, which keeps
    everything in memory and ends with this command.
    """
    with refused_for_good():
        settings = load_settings(
            redis_url=url, unsafe=unsafe or None, min_processes=least, max_processes=most, **served(models)
        )
        autoscaled = processes is None and settings.max_processes is not None
        if not autoscaled and (least or most):
            raise typer.BadParameter("goes with --max, and not with --processes", param_hint="--min")
        code = _up(settings, max(1, settings.min_processes) if autoscaled else processes, autoscaled=autoscaled)
    raise typer.Exit(code)


def _up(chosen: Settings, processes: int | None, *, autoscaled: bool) -> int:
    with ensure_server(chosen) as settings:
        print(f"settings {effective_line(settings)}", flush=True)
        if not is_given(chosen):
            print(_how_to_connect(settings), flush=True)
        return run_workers(settings, processes, autoscaled=autoscaled)


def _how_to_connect(settings: Settings) -> str:
    lines = [
        "A server was started here. To use it from another shell:",
        "",
        f"  export RERANK_REDIS_URL={_url(settings)}",
    ]
    if "namespace" in settings.model_fields_set:
        lines.append(f"  export RERANK_NAMESPACE={settings.namespace}")
    return "\n".join([*lines, "  rerank-fleet rerank QUERY DOCUMENT...", ""])


def _url(settings: Settings) -> str:
    # The server that this command started has no password to hide.
    return settings.redis_url.get_secret_value()
