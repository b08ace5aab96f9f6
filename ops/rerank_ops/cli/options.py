"""Options that several commands share, and the settings that follow from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from rerank_ops.cli.console import err
from rerank_shared.errors import ConfigurationError, QueueUnavailable
from rerank_shared.redis.outage import LASTING
from rerank_shared.settings import Settings, load_settings

#: Exit status of worker processes where a restart can't help.
EX_CONFIG = 78
#: Exit status of `choose` and `plan` where nothing keeps the limit.
NOTHING_KEEPS_IT = 3

RedisUrl = Annotated[
    str | None,
    typer.Option(
        "--redis-url", metavar="URL", help="URL of the Redis or Valkey server. Unset: RERANK_REDIS_URL or REDIS_URL."
    ),
]
Processes = Annotated[
    int | None,
    typer.Option("--processes", "-p", metavar="N", min=1, help="Worker processes. Unset: one for each usable core."),
]
Unsafe = Annotated[
    bool,
    typer.Option("--unsafe", help="Serve an artefact that failed its quality gate or has changed files."),
]
Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        metavar="MODEL",
        help="Model to serve, as RERANK_MODEL; several: give it again. The first is asked for by requests that name "
        "none. Unset: RERANK_MODELS or RERANK_MODEL.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def settings_from(redis_url: str | None, *, unsafe: bool = False, models: Sequence[str] | None = None) -> Settings:
    """Return the settings of the environment, overridden by these options. Raises ConfigurationError."""
    return load_settings(redis_url=redis_url, unsafe=unsafe or None, **served(models))


def served(models: Sequence[str] | None) -> dict[str, Any]:
    """Return the settings that `--model` overrides; none where the option is not given."""
    return {"model": models[0], "models": tuple(models)} if models else {}


def directory_there(path: Path | None) -> Path | None:
    """Return the path of a file that is written at the end. Raises BadParameter at the start if it has no place."""
    if path is not None and not path.absolute().parent.is_dir():
        raise typer.BadParameter(f"there is no directory {path.absolute().parent}")
    return path


@contextmanager
def refused_for_good() -> Iterator[None]:
    """Exit with status 78 on an error of settings or server that a restart can't cure, as a worker process does."""
    try:
        yield
    except (ConfigurationError, QueueUnavailable) as error:
        if isinstance(error, QueueUnavailable) and error.reason not in LASTING:
            raise
        err.print(f"error: {error.message}", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(EX_CONFIG) from None
