"""Names that go over from one model to another, while processes serve the former one by other names.

The pools that a name has are known for a day, so that jobs can wait for their processes. So a name that an operator
gives to another entry of fleet.toml would mean both models for as long as the former one has live processes.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from rerank_shared.contract.unreadable import name_of_bytes
from rerank_shared.keys import IDENTITY_TTL_S, Keys
from rerank_shared.redis import at_any_limit

log = logging.getLogger(__name__)


def tell_names(client: Any, keys: Keys, names: Mapping[str, Iterable[str]], until: float) -> None:
    """Tell that a live process gives these names to the models of its pools, until a moment of the server's clock."""
    told = {f"{pool} {name}": until for pool, given in names.items() for name in given}
    at_any_limit.write(client, keys, lambda words: words.zadd(keys.named, told))


def end_moved_names(client: Any, keys: Keys, now: float) -> None:
    """End names of pools whose live processes give them no longer, where another pool has them now.

    A pool without live processes keeps its names: jobs wait there. Raises Redis's errors.
    """
    told = [(name_of_bytes(member), until) for member, until in client.zrange(keys.named, 0, -1, withscores=True)]
    given = {_name(member) for member, until in told if until > now}
    pipe = client.pipeline(transaction=False)
    for member, until in told:
        pool, _, name = member.partition(" ")
        if until <= now and name in given and client.zcount(keys.of(pool).workers, now, "+inf"):
            pipe.hdel(keys.pools_of(name), pool)
            pipe.zrem(keys.named, member)
            log.info("name means another model alone now name=%s former_pool=%s", name, pool)
    pipe.zremrangebyscore(keys.named, "-inf", now - IDENTITY_TTL_S)
    pipe.execute()


def _name(member: str) -> str:
    return member.partition(" ")[2]
