"""The code of an earlier revision, taken out of git into a folder that later runs find again."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from pathlib import Path

from rerank_shared.errors import ConfigurationError

#: This checkout.
HERE = Path(__file__).parents[6]
#: The file that the first commit about pools has added.
_POOLS = "shared/rerank_shared/pools.py"
_FOLDERS = ("shared", "producer", "worker", "ops")


def checkout(revision: str | None, work: Path) -> Path:
    """Return the folder with the code of a revision; None: of the commit before that which brought pools.

    It runs by this interpreter, with what is installed for it. Raises ConfigurationError where git has no such one.
    """
    name = _git("rev-parse", "--verify", "--short=12", f"{revision or _before_pools()}^{{commit}}").decode().strip()
    root = work / f"base-{name}"
    if not root.is_dir():
        half = root.with_suffix(".part")
        shutil.rmtree(half, ignore_errors=True)
        with tarfile.open(fileobj=io.BytesIO(_git("archive", "--format=tar", name, *_FOLDERS))) as archive:
            archive.extractall(half, filter="data")
        half.rename(root)
    return root.resolve()


def _before_pools() -> str:
    added = _git("log", "--diff-filter=A", "--format=%H", "--", _POOLS).decode().split()
    if not added:
        raise ConfigurationError(f"git does not know which commit added {_POOLS}: give BASE=REV")
    return f"{added[-1]}^"


def _git(*arguments: str) -> bytes:
    try:
        return subprocess.run(["git", "-C", str(HERE), *arguments], check=True, capture_output=True).stdout
    except subprocess.CalledProcessError as error:
        raise ConfigurationError(f"git {arguments[0]}: {error.stderr.decode(errors='replace').strip()}") from None
    except OSError as error:
        raise ConfigurationError(f"git can't be run: {error}") from None
