"""What several commands share: their common options, and the settings that follow from them."""

from __future__ import annotations

from typing import Annotated

import typer

from rerank_shared.settings import Settings, load_settings

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
