"""What several commands share: their common options, and the settings that follow from them."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from rerank_shared.settings import Settings, load_settings

RedisUrl = Annotated[
    str | None,
    typer.Option(
        "--redis-url", metavar="URL", help="Redis or Valkey, instead of RERANK_REDIS_URL and REDIS_URL.",
        show_default=False,
    ),
]  # fmt: skip
Processes = Annotated[
    int | None,
    typer.Option("--processes", "-p", metavar="N", min=1, help="Worker processes; one for each usable core if not given.",
                 show_default=False),
]  # fmt: skip
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]

#: Texts are shown as they are: neither markup nor emoji codes in them mean anything.
out = Console(markup=False, emoji=False, highlight=False)
err = Console(markup=False, emoji=False, highlight=False, stderr=True)


def settings_from(redis_url: str | None) -> Settings:
    """Return the settings of the environment with the option before them; raises ConfigurationError."""
    return load_settings(redis_url=redis_url)
