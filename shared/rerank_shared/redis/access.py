"""Access check: tries each kind of command that a fleet needs, on a key that nothing else reads.

PING proves too little: a server answers it to a user who may run no script, and a replica answers every read. Without
this check jobs would fail one by one.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

import redis

from rerank_shared.keys import Keys
from rerank_shared.redis.outage import Outage, outage_of

#: Its first command frees memory, as in the fleet's own scripts, so a server at its memory limit runs the rest.
_SCRIPT = """
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'f', 1)
redis.call('DEL', KEYS[1])
redis.call('ZADD', KEYS[1], 1, 'm')
redis.call('DEL', KEYS[1])
redis.call('LPUSH', KEYS[1], 'e')
return redis.call('DEL', KEYS[1])
"""
_TRIAL_TTL_S = 5


@dataclass(frozen=True, slots=True)
class Lack:
    """Something that a fleet needs, and the outage that denies it here."""

    needs: str
    outage: Outage


def find_lacks(client: redis.Redis, keys: Keys) -> list[Lack]:
    """Try all that a fleet needs and return the lacks. Raises the exceptions of redis-py if the server is away."""
    key = keys.trial(uuid.uuid4().hex)
    pipe: Any = client.pipeline(transaction=False)
    needs = []
    for need, *command in (
        ("write keys", "SET", key, 1, "EX", _TRIAL_TTL_S),
        ("read keys", "GET", key),
        ("delete keys", "UNLINK", key),
        ("wait on lists", "BRPOP", key, 0.01),
        ("run scripts", "EVAL", _SCRIPT, 1, key),
        ("load scripts", "SCRIPT", "LOAD", "return 1"),
        ("ask for the time", "TIME"),
        ("publish on channels", "PUBLISH", key, ""),
        ("count who listens", "PUBSUB", "NUMSUB", key),
    ):
        needs.append(need)
        pipe.execute_command(*command)
    lacks = [
        Lack(need, outage_of(answer))
        for need, answer in zip(needs, pipe.execute(raise_on_error=False), strict=True)
        if isinstance(answer, redis.RedisError)
    ]
    control = keys.control_channel(client.connection_pool.connection_kwargs.get("db", 0))
    return lacks + _deaf(client, subscribe=key, psubscribe=control) + _spread(client)


def worst(lacks: list[Lack]) -> Lack | None:
    """Return the lack to report, None without any: one that waiting can't end comes before one that may pass."""
    return next((lack for lack in lacks if lack.outage.lasts), lacks[0] if lacks else None)


def _deaf(client: redis.Redis, **subscriptions: str) -> list[Lack]:
    """Return the lacks in listening. A pattern must be permitted as it is written, not by a wider one."""
    for command, channel in subscriptions.items():
        with client.pubsub() as line:
            try:
                getattr(line, command)(channel)
                line.get_message(timeout=_TRIAL_TTL_S)
            except redis.ResponseError as error:
                return [Lack(f"listen on channels ({command} {channel})", outage_of(error))]
    return []


def _spread(client: redis.Redis) -> list[Lack]:
    try:
        told = client.info("cluster")
    except redis.ResponseError:
        return []  # INFO is forbidden; a fleet needs it for nothing else
    return (
        [Lack("keep all keys on one server", Outage("cluster", "is a cluster"))] if told.get("cluster_enabled") else []
    )
