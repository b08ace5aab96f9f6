"""`rerank-fleet worker`: runs worker processes in the foreground, one for each core; they wait for their server."""

from __future__ import annotations

import typer

from rerank_ops.cli.options import Models, Processes, RedisUrl, Unsafe, refused_for_good, settings_from
from rerank_ops.cli.rank.fleet import run_workers
from rerank_ops.effective import effective_line


def worker(models: Models = None, processes: Processes = None, url: RedisUrl = None, unsafe: Unsafe = False) -> None:
    """Run worker processes against a Redis server, until Ctrl-C.

    They wait for a server that does not answer yet, restart when they die, and finish their batch before they stop. A
    second Ctrl-C stops them at once. Exit status 78: an error of settings, model or server that a restart can't cure.
    """
    with refused_for_good():
        settings = settings_from(url, unsafe=unsafe, models=models)
        print(f"settings {effective_line(settings)}", flush=True)
        code = run_workers(settings, processes)
    raise typer.Exit(code)
