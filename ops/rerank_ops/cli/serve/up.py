"""`rerank-fleet up`: runs a whole fleet in the foreground, with its own server where none is configured."""

from __future__ import annotations

import typer

from rerank_ops.cli.options import Processes, RedisUrl, Unsafe, refused_for_good, settings_from
from rerank_ops.cli.rank.fleet import run_workers
from rerank_ops.effective import effective_line
from rerank_ops.local.redis_server import ensure_server, is_given
from rerank_shared.settings import Settings


def up(processes: Processes = None, url: RedisUrl = None, unsafe: Unsafe = False) -> None:
    """Run a whole fleet on this machine, until Ctrl-C.

    It uses the server in --redis-url, RERANK_REDIS_URL or REDIS_URL. If none is set, it starts one, which keeps
    everything in memory and ends with this command.
    """
    with refused_for_good():
        code = _up(settings_from(url, unsafe=unsafe), processes)
    raise typer.Exit(code)


def _up(chosen: Settings, processes: int | None) -> int:
    with ensure_server(chosen) as settings:
        print(f"settings {effective_line(settings)}", flush=True)
        if not is_given(chosen):
            print(_how_to_connect(settings), flush=True)
        return run_workers(settings, processes)


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
