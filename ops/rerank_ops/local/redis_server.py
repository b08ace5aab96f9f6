"""Choice of the server: the URL that was given, else an embedded server started on this machine.

A given URL is used or refused, never replaced: a fleet on another server than its clients' would never answer them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import redis
from pydantic import SecretStr

from rerank_ops.local.embedded_redis import EmbeddedServer
from rerank_ops.local.redis_binary import OLDEST, ServerBinary, find_server
from rerank_shared.errors import ServerUnavailable
from rerank_shared.redis.connections import connect, masked_url, outages_told
from rerank_shared.settings import Settings

__all__ = ["EmbeddedServer", "ServerBinary", "check_server", "ensure_server", "find_server", "is_given", "unsuitable"]


@contextmanager
def ensure_server(settings: Settings, *, given: bool | None = None) -> Iterator[Settings]:
    """Yield settings whose `redis_url` answers: the given one, or that of an embedded server that ends with the block.

    `given`: the URL was chosen, so no server is started in its place; None: as `is_given` says.
    Raises QueueUnavailable when a given server can't be reached; ServerUnavailable when it is too old or a cluster, or
    when none was given and none can be started.
    """
    if given is None:
        given = is_given(settings)
    if given:
        check_server(settings)
        yield settings
        return
    with EmbeddedServer.start() as server:
        yield settings.model_copy(update={"redis_url": SecretStr(server.url)})


def is_given(settings: Settings) -> bool:
    """Return whether an argument or the environment set the server's URL."""
    return "redis_url" in settings.model_fields_set


def check_server(settings: Settings) -> None:
    """Raise QueueUnavailable if the server can't be reached, ServerUnavailable if it can't serve a fleet."""
    with connect(settings) as client, outages_told(settings, "checking that it answers"):
        client.ping()
        try:
            told = client.info("server")
        except redis.ResponseError:
            return  # INFO is forbidden to this user; the server may still be suitable
    if fault := unsuitable(told):
        raise ServerUnavailable(f"The server at {masked_url(settings)} {fault}. Set RERANK_REDIS_URL to another.")


def unsuitable(told: Mapping[str, object]) -> str | None:
    """Return the reason why a server with this answer to INFO can't serve a fleet, None if it can."""
    version = str(told.get("redis_version", ""))
    numbers = [int(part) for part in version.split(".")[:2] if part.isdigit()]
    if numbers and tuple(numbers) < OLDEST:
        return f"is version {version}, and {'.'.join(map(str, OLDEST))} or later is needed"
    # The field is redis_mode in Redis and Valkey before 8, server_mode in later Valkeys.
    if "cluster" in (told.get("redis_mode"), told.get("server_mode")):
        return "is a cluster, and the queue needs a single server"
    return None
