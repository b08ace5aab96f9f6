"""Check of the server's memory: the effect of a full server on the fleet, and the room left for jobs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rerank_ops.cli.admin.checks.finding import Finding, Status

#: Memory of one job of 50 passages of 400 characters on the server: text, message, entries in queue and backlog.
TYPICAL_JOB_BYTES = 25_000
#: Memory of one cached score on the server; nearly all keys that expire are cached scores.
CACHED_SCORE_BYTES = 120
_CROWDED = 0.8
_POLICY_FIX = "set maxmemory-policy to volatile-lru, which takes cached scores alone, or to noeviction"
_ROOM_FIX = "start more workers; raise maxmemory; or empty the cache with `rerank-fleet cache clear`"
_LIMIT_FIX = "set maxmemory below what the machine has, and maxmemory-policy to volatile-lru"

#: Effect of a full server under each policy; docs/redis-memory.md lists the effect on each kind of key.
_SAFE = {
    "noeviction": "a full server refuses new jobs and drains; cached scores take room from them until they run out",
    "volatile-lru": "a full server gives up cached scores, never a job; what is left it refuses",
    "volatile-lfu": "a full server gives up cached scores, never a job; what is left it refuses",
}
_SO_SO = {
    "volatile-ttl": "a full server first forgets what API keys have spent and how many workers a job has killed",
    "volatile-random": "a full server gives up cached scores, and now and then what API keys have spent",
}


def check_memory(told: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield the findings on memory from `told`, the answer to INFO."""
    policy, limit = str(told.get("maxmemory_policy", "unknown")), int(told.get("maxmemory", 0))
    yield _eviction(policy, limit, int(told.get("evicted_keys", 0)))
    if limit:
        evictable_bytes = 0 if policy == "noeviction" else CACHED_SCORE_BYTES * _expiring(told)
        yield _room(limit, int(told.get("used_memory", 0)), evictable_bytes)


def _eviction(policy: str, limit: int, evicted: int) -> Finding:
    named = f"{policy} with {f'maxmemory {_megabytes(limit)}' if limit else 'no maxmemory'}"
    if not limit:
        # The policy takes effect once a limit is set, which can happen later.
        status: Status = "ok" if policy in _SAFE else "warn"
        return Finding("eviction", status, f"{named}: it grows until the machine has no memory left", _LIMIT_FIX)
    if policy in _SAFE:
        return Finding("eviction", "ok", f"{named}: {_SAFE[policy]}")
    if policy in _SO_SO:
        return Finding("eviction", "warn", f"{named}: {_SO_SO[policy]}", _POLICY_FIX)
    so_far = f"; {evicted:,} keys so far" if evicted else ""
    message = f"{named}: a full server throws away jobs, their texts and their answers{so_far}"
    return Finding("eviction", "warn", message, _POLICY_FIX)


def _room(limit: int, used: int, evictable_bytes: int) -> Finding:
    kept = max(0, used - evictable_bytes)
    jobs = max(0, limit - kept) // TYPICAL_JOB_BYTES
    instead = " with that of cached scores" if evictable_bytes else ""
    message = f"{_megabytes(used)} of {_megabytes(limit)} used; room{instead} for {jobs:,} jobs of 50 passages"
    if jobs == 0:
        return Finding("memory", "fail", f"{message}: new jobs are refused", _ROOM_FIX)
    if kept > _CROWDED * limit:
        return Finding("memory", "warn", message, _ROOM_FIX)
    return Finding("memory", "ok", message)


def _expiring(told: Mapping[str, Any]) -> int:
    """Return the number of keys of all databases that expire."""
    spaces = (space for name, space in told.items() if name.startswith("db") and isinstance(space, Mapping))
    return sum(int(space.get("expires", 0)) for space in spaces)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size < 100e6 else f"{size / 1e6:,.0f} MB"
