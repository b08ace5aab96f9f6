"""Cores: finds the cores that this process may use, which are its affinity bounded by the CPU quota of its cgroup.

A container with a quota of 2 on a host of 64 sees 64 cores; 64 worker processes would be throttled for most of every
period. This module reads files only and never fails: a file that can't be read counts as no limit.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from rerank_worker.cgroups import ROOT, directories, read


def available_cores(root: Path = ROOT) -> tuple[int, ...]:
    """Return the numbers of the cores to use, at least one. Under a quota these are the first few of the affinity."""
    cores = affinity()
    quota = cpu_quota(root)
    return cores if quota is None else cores[: max(1, int(quota))]


def pinnable_cores(root: Path = ROOT) -> tuple[int, ...]:
    """Return the cores that processes may be pinned to: the affinity, or none if a quota is the tighter bound.

    All containers of a host see the same cores. If each pinned itself to the first few, all would share those while the
    rest are idle. Under a quota the kernel's scheduler does better.
    """
    cores = affinity()
    return cores if available_cores(root) == cores else ()


def spread(processes: int, cores: Sequence[int]) -> tuple[int | None, ...]:
    """Return the core to pin each process to; None for all of them unless there is one for each core.

    The kernel's own placement is better than two processes pinned to one core while another is free. With fewer
    processes than cores, those of another supervisor of the host may be meant for the rest.
    """
    return tuple(cores) if processes == len(cores) else (None,) * processes


def affinity() -> tuple[int, ...]:
    """Return the numbers of the cores that the kernel lets this process run on."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def cpu_quota(root: Path = ROOT) -> float | None:
    """Return the tightest CPU quota, in cores, of this process's cgroup and its ancestors; None if there is none."""
    quotas = [quota for directory in directories(root, "cpu") if (quota := _quota_of(directory)) is not None]
    return min(quotas, default=None)


def parse_cpu_max(text: str) -> float | None:
    """Return the quota in cores of cgroup v2's cpu.max, `$MAX $PERIOD`; None for `max` or malformed text."""
    limit, _, period = text.strip().partition(" ")
    return _ratio(limit, period or "100000")


def _quota_of(directory: Path) -> float | None:
    if (v2 := read(directory / "cpu.max")) != "":
        return parse_cpu_max(v2)
    return _ratio(read(directory / "cpu.cfs_quota_us"), read(directory / "cpu.cfs_period_us"))


def _ratio(limit: str, period: str) -> float | None:
    try:
        quota, span = int(limit), int(period)
    except ValueError:
        return None
    return quota / span if quota > 0 and span > 0 else None
