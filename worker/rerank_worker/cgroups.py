"""Control groups: the directories whose files limit this process, for both versions of cgroups.

This module reads files only and never fails: a file that can't be read is empty.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Literal

#: Names of the directories that version 1 mounts a controller in.
_MOUNTS = {"cpu": ["cpu", "cpu,cpuacct", "cpuacct,cpu"], "memory": ["memory"]}
ROOT = Path("/")


def parse_cgroup(text: str) -> Iterator[tuple[frozenset[str], PurePosixPath]]:
    """Yield (controllers, path) of each line of /proc/self/cgroup; a line of version 2 has no controllers."""
    for line in text.splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        # A process outside its cgroup namespace's root has "/../.." before its path; those parts are not mounted here.
        if path.startswith("/"):
            parts = [part for part in PurePosixPath(path).parts if part not in ("/", "..")]
            yield frozenset(filter(None, controllers.split(","))), PurePosixPath(*parts)


def directories(root: Path, controller: Literal["cpu", "memory"]) -> Iterator[Path]:
    """Yield the directories that may limit this process, from its own cgroup up to the root."""
    mounts = root / "sys/fs/cgroup"
    for controllers, path in parse_cgroup(read(root / "proc/self/cgroup")):
        if not controllers:
            names = ["", "unified"]
        elif controller in controllers:
            names = _MOUNTS[controller]
        else:
            continue
        for name in names:
            # Without a cgroup namespace the path is the host's and not mounted here; its ancestor at the mount is.
            yield from (mounts / name / step for step in (path, *path.parents))


def read(path: Path) -> str:
    """Return the text of a file, '' if it can't be read."""
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
