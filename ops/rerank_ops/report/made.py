"""How a report was made: when, by which command, in which versions, under which settings. Holds no secret."""

from __future__ import annotations

import platform
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

from rerank_ops.effective import effective_settings
from rerank_shared.settings import Settings

#: Packages whose release may change a figure.
PACKAGES = (
    "rerank-fleet", "onnxruntime", "tokenizers", "numpy", "scipy", "bm25s", "ir-measures", "pytrec-eval-terrier",
    "rerank-fleet-kernels",
)  # fmt: skip
#: An option whose value may hold a password, and on which no figure depends.
_SERVER = "--redis-url"


@dataclass(frozen=True, slots=True)
class Made:
    """The time in UTC, the command line, versions by package, and settings that differ from their defaults."""

    at: datetime
    command: str
    versions: Mapping[str, str]
    settings: Mapping[str, str]

    def when(self) -> str:
        """Return the time in words."""
        return f"{self.at:%-d %B %Y, %H:%M} UTC"


def made(arguments: Sequence[str], settings: Settings, environ: Mapping[str, str]) -> Made:
    """Return how a report is made, now, by `rerank-fleet` with these arguments."""
    return Made(datetime.now(UTC), command_line(arguments), versions(), changed(settings, environ))


def command_line(arguments: Sequence[str]) -> str:
    """Return a command line that can be pasted into a shell, without the server that was asked."""
    kept, words = ["rerank-fleet"], iter(arguments)
    for word in words:
        if word == _SERVER:
            next(words, None)
        elif not word.startswith(f"{_SERVER}="):
            kept.append(word)
    return shlex.join(kept)


def versions() -> dict[str, str]:
    """Return the version of Python, and of each package of ours and others that is installed."""
    found = {"Python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def changed(settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the settings that differ from their defaults, by variable, without the server; secrets are masked."""
    return {
        each.variable: each.value
        for each in effective_settings(settings, environ)
        if not each.is_default and each.name != "redis_url"
    }
