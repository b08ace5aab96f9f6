"""`rerank-fleet cache`: shows the score cache's size and hit rate, and empties it."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from rerank_ops.cli.console import err, out
from rerank_ops.cli.options import AsJson, RedisUrl, settings_from
from rerank_shared import cache as scores
from rerank_shared.cache import CacheStats
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import connect, outages_told

cache = typer.Typer(name="cache", help="Show the score cache's size and hit rate, or empty it.", no_args_is_help=True)


@cache.command()
def stats(as_json: AsJson = False, url: RedisUrl = None) -> None:
    """Show the number of scores, their memory and the hit rate. Counting scans the server without blocking it.

    The figures are of all models together: a score's key is a digest, which does not tell its model.
    """
    settings = settings_from(url)
    with connect(settings) as client, outages_told(settings, "counting cached scores"):
        found = scores.stats(client, Keys(settings.namespace))
    if as_json:
        print(json.dumps(asdict(found) | {"bytes": memory_bytes(found), "hit_rate": hit_rate(found)}))
        return
    for name, value in stats_rows(found):
        out.print(f"{name:<10}{value}")


@cache.command()
def clear(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    url: RedisUrl = None,
) -> None:
    """Delete all cached scores and the hit counters of this namespace. Jobs are not touched."""
    settings = settings_from(url)
    if not yes:
        typer.confirm(f"Delete all cached scores in namespace {settings.namespace!r}?", abort=True, err=True)
    with connect(settings) as client, outages_told(settings, "deleting cached scores"):
        gone = scores.clear(client, Keys(settings.namespace))
    err.print(f"{gone:,} scores deleted")


def stats_rows(found: CacheStats) -> list[tuple[str, str]]:
    """Return the statistics as names and values for people."""
    rate = hit_rate(found)
    return [
        ("scores", f"{found.scores:,}"),
        ("memory", f"about {memory_text(memory_bytes(found))}, {found.bytes_per_score:.0f} bytes a score"),
        ("hits", f"{found.hits:,}"),
        ("misses", f"{found.misses:,}"),
        ("hit rate", "no look-ups yet" if rate is None else f"{rate:.1%}"),
    ]


def memory_bytes(found: CacheStats) -> int:
    """Return the estimated memory of all scores, keys included."""
    return round(found.scores * found.bytes_per_score)


def hit_rate(found: CacheStats) -> float | None:
    """Return hits divided by look-ups, 0 to 1; None before the first look-up."""
    lookups = found.hits + found.misses
    return found.hits / lookups if lookups else None


def memory_text(size: float) -> str:
    """Return a size in bytes as text, in the unit that leaves a number between 1 and 1000."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1_000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1_000
    return f"{size:.1f} GB"
