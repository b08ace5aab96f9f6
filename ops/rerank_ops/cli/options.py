"""What several commands share: their common options, and the settings that follow from them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from rerank_ops.cli.console import err
from rerank_shared.errors import ConfigurationError, QueueUnavailable
from rerank_shared.redis.outage import LASTING
from rerank_shared.settings import Settings, load_settings

#: As worker processes end where starting again can't help.
EX_CONFIG = 78

RedisUrl = Annotated[
    str | None,
    typer.Option("--redis-url", metavar="URL", help="Redis or Valkey to use, instead of what the environment names."),
]
Processes = Annotated[
    int | None,
    typer.Option("--processes", "-p", metavar="N", min=1, help="Worker processes. Unset: one for each usable core."),
]
Unsafe = Annotated[
    bool,
    typer.Option("--unsafe", help="Serve an exported model that failed its quality gate or whose files differ."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def settings_from(redis_url: str | None, *, unsafe: bool = False) -> Settings:
    """Return the settings of the environment with the options before them; raises ConfigurationError."""
    return load_settings(redis_url=redis_url, unsafe=unsafe or None)


@contextmanager
def refused_for_good() -> Iterator[None]:
    """End with status 78 where settings or server are such that starting again can't help, as a worker process does."""
    try:
        yield
    except (ConfigurationError, QueueUnavailable) as error:
        if isinstance(error, QueueUnavailable) and error.reason not in LASTING:
            raise
        err.print(f"error: {error.message}", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(EX_CONFIG) from None
