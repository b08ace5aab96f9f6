"""`rerank-fleet top`: the fleet on one screen, again and again until Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Annotated

import typer

from rerank_ops.cli.console import out
from rerank_ops.cli.options import AsJson, RedisUrl, settings_from
from rerank_shared.errors import QueueUnavailable
from rerank_shared.settings import Settings

if TYPE_CHECKING:
    from rerank_ops.cli.top.view import TopView


def top(
    once: Annotated[bool, typer.Option("--once", help="Print it once and exit.")] = False,
    interval_s: Annotated[
        float, typer.Option("--interval", metavar="S", min=1.0, max=3600.0, help="Seconds between two looks.")
    ] = 2.0,
    as_json: AsJson = False,
    url: RedisUrl = None,
) -> None:
    """Show queues, processes, latencies and alerts of a running fleet, live until Ctrl-C.

    It reads Redis alone. An alert is shown while its condition holds; Prometheus fires it once that has lasted. The
    number of processes wanted follows the RERANK_ variables of this shell. Without a terminal, or with --json, it
    prints once; exit status 1 if Redis is away then.
    """
    from rerank_ops.cli.top.screen import screen

    settings = settings_from(url)
    if once or as_json or not out.is_terminal:
        view = asyncio.run(_read_once(settings))
        if as_json:
            print(view.model_dump_json(by_alias=True))
        else:
            out.print(screen(view, out.width, None))
    else:
        asyncio.run(_watch(settings, interval_s))


async def _read_once(settings: Settings) -> TopView:
    from rerank_ops.cli.top.reading import TopReader

    reader = TopReader(settings)
    try:
        return await reader.read()
    finally:
        await reader.aclose()


async def _watch(settings: Settings, interval_s: float) -> None:
    from rich.live import Live as Screen

    from rerank_ops.cli.top.reading import TopReader
    from rerank_ops.cli.top.screen import nothing_yet, screen

    reader, view = TopReader(settings), None
    try:
        with _stopped() as stop, Screen(console=out, screen=True, auto_refresh=False) as shown:
            while not stop.is_set():
                away = None
                try:
                    view = await reader.read()
                except QueueUnavailable as error:
                    away = error.message
                picture = nothing_yet(away or "") if view is None else screen(view, out.width, out.height, away)
                shown.update(picture, refresh=True)
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), interval_s)
    finally:
        await reader.aclose()


@contextmanager
def _stopped() -> Iterator[asyncio.Event]:
    """Yield an event that Ctrl-C and SIGTERM set, so that the screen is put back whichever comes."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    signals = (signal.SIGINT, signal.SIGTERM)
    for signum in signals:
        loop.add_signal_handler(signum, stop.set)
    try:
        yield stop
    finally:
        for signum in signals:
            loop.remove_signal_handler(signum)
