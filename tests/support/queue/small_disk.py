"""A command whose temporary directory is a disk of its own, small, that a test can fill while the command runs."""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import pytest

# In a mount namespace of its own: nobody else sees the disk, and it is gone with the last process that does.
_SCRIPT = """
mount -t tmpfs -o "size=$SIZE" small "$TMPDIR" || exit 9
exec 3<&0
(read _ <&3; cat /dev/zero >"$TMPDIR/all-of-it" 2>/dev/null; touch "$0") &
exec 3<&- "$@" </dev/null
"""


def started_on_small_disk(
    command: Sequence[str], environ: Mapping[str, str], directory: Path, *, log: IO[bytes], kilobytes: int = 600
) -> subprocess.Popen[bytes]:
    """Start a command; skips the test where no process may have mounts of its own."""
    if (reason := _no_mounts()) is not None:
        pytest.skip(f"no small disk can be had: {reason}")
    disk = directory / "disk"
    disk.mkdir()
    return subprocess.Popen(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", _SCRIPT, str(_full(directory)), *command],
        env={**environ, "TMPDIR": str(disk), "SIZE": f"{kilobytes}k"},
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=subprocess.STDOUT,
    )


def fill(process: subprocess.Popen[Any], directory: Path) -> Path:
    """Begin to fill the disk; returns a file that is there once it is full."""
    assert process.stdin is not None
    process.stdin.close()
    return _full(directory)


def _full(directory: Path) -> Path:
    return directory / "full"


@functools.cache
def _no_mounts() -> str | None:
    trial = ["unshare", "--map-root-user", "--mount", "sh", "-c", "mount -t tmpfs small /mnt"]
    try:
        tried = subprocess.run(trial, capture_output=True, text=True, check=False)
    except OSError as error:
        return str(error)
    return tried.stderr.strip() or f"status {tried.returncode}" if tried.returncode else None
