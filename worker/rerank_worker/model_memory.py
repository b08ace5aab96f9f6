"""Memory for models: what a process may take for one more, by its settings or by what its cgroup and its host have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rerank_shared.errors import ConfigurationError
from rerank_worker.cgroups import ROOT, directories, read

_SETTING = "RERANK_MODEL_MEMORY_MB"
#: cgroups v1 says so where there is no limit.
_UNLIMITED_BYTES = 1 << 60


@dataclass(frozen=True, slots=True)
class Room:
    """The memory for models: `budget_bytes`, and how much of it is free. `origin` says what the budget is."""

    budget_bytes: int
    free_bytes: int
    origin: str

    def refuse(self, model: str, needs_bytes: int) -> None:
        """Raise ConfigurationError if a model whose weights have so many bytes does not fit."""
        if needs_bytes <= self.free_bytes:
            return
        way_out = "unload another model, or raise it" if self.origin == _SETTING else "unload another model"
        raise ConfigurationError(
            f"{model} needs {_mb(needs_bytes)} MB by its files, and {_mb(self.free_bytes)} MB of "
            f"{_mb(self.budget_bytes)} MB ({self.origin}) are free: {way_out}"
        )


def room_for_models(budget_mb: int | None, used_bytes: int, root: Path = ROOT) -> Room | None:
    """Return the room for one more model beside those that take `used_bytes`; None where nothing bounds it.

    Without a budget it is the least of what the cgroups and the host have free. Caches that the kernel gives up at once
    count as free.
    """
    if budget_mb is not None:
        budget = budget_mb * 1_000_000
        return Room(budget, max(0, budget - used_bytes), _SETTING)
    return min((*_of_cgroups(root), *_of_host(root)), key=lambda room: room.free_bytes, default=None)


def _of_cgroups(root: Path) -> Iterator[Room]:
    for directory in directories(root, "memory"):
        names = ("memory.max", "memory.current", "inactive_file")
        if read(directory / names[0]) == "":
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        limit, used = (_number(read(directory / name)) for name in names[:2])
        if limit is not None and used is not None and limit < _UNLIMITED_BYTES:
            cached = _fields(read(directory / "memory.stat")).get(names[2], 0)
            yield Room(limit, max(0, limit - used + cached), "the limit of the cgroup")


def _of_host(root: Path) -> Iterator[Room]:
    fields = _fields(read(root / "proc/meminfo"))
    if {"MemTotal:", "MemAvailable:"} <= fields.keys():
        yield Room(1024 * fields["MemTotal:"], 1024 * fields["MemAvailable:"], "the memory of the host")


def _fields(text: str) -> dict[str, int]:
    """Return the numbers of a file that has a name and a number in each line."""
    lines = (line.split() for line in text.splitlines())
    return {line[0]: number for line in lines if len(line) > 1 and (number := _number(line[1])) is not None}


def _number(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None


def _mb(size: int) -> str:
    return f"{size / 1e6:,.0f}"
