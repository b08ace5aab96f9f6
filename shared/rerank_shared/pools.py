"""Pools: the workers of one scoring identity. A request asks for a model's name, and one pool of that name answers it.

A name has several pools while a fleet goes over from one model, precision or tokenizer to another, and where hosts
differ. The query chooses among them, in proportion to their live processes: the same query meets the same pool and its
cached scores for as long as the pools stay as they are.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rerank_shared.contract import wire
from rerank_shared.contract.messages import ScoringIdentity
from rerank_shared.contract.unreadable import name_of_bytes, read_or_none
from rerank_shared.errors import UnknownModel, WireError
from rerank_shared.keys import Keys
from rerank_shared.nearest import did_you_mean

_HASHED = 2.0**64


@dataclass(frozen=True, slots=True)
class Pool:
    """A pool of a model's name with its live processes.

    `id` is '' for the workers of earlier releases, which know no pools and consume the common queue alone.
    """

    id: str
    identity: ScoringIdentity
    processes: int


def pool_for(pools: Sequence[Pool], query: str) -> Pool | None:
    """Return the pool that answers a query: one with live processes while there is any, else the first; None of none.

    Weighted rendezvous hashing (Schindelhauer and Schomaker, 2005): a pool that comes or goes moves only those queries
    that it wins or had won.
    """
    live = [pool for pool in pools if pool.processes > 0]
    if len(live) <= 1:
        return next(iter(live or pools), None)
    return max(live, key=lambda pool: (-pool.processes / math.log(_uniform(pool.id, query)), pool.id))


def pool_id_of(pool: Pool | None) -> str:
    """Return the id of a pool, '' where none is known: the common queue."""
    return "" if pool is None else pool.id


def _uniform(pool: str, query: str) -> float:
    """Return a number between 0 and 1, neither of which it is."""
    digest = hashlib.blake2b(query.encode(), digest_size=8, key=pool.encode()).digest()
    return (int.from_bytes(digest, "little") + 0.5) / (_HASHED + 1.0)


@dataclass(slots=True)
class PoolQuestions:
    """The commands that read the pools of a model's name, for a pipeline of either kind.

    `counted` are pools that the asker knows already. `complete` is False after an answer that names others: their
    processes must be asked for once more.
    """

    keys: Keys
    model: str
    counted: tuple[str, ...] = ()
    complete: bool = field(default=False, init=False)

    def ask(self, pipe: Any, now: float) -> None:
        """Queue the commands on a pipeline; `now` is epoch seconds."""
        keys = self.keys
        pipe.hgetall(keys.pools_of(self.model))
        pipe.zrangebyscore(keys.pools, now, "+inf")
        pipe.get(keys.identity(self.model))
        pipe.zrangebyscore(keys.models, now, "+inf")
        pipe.zcount(keys.workers, now, "+inf")
        pipe.zcount(keys.pooled, now, "+inf")
        for pool in self.counted:
            pipe.zcount(keys.of(pool).workers, now, "+inf")

    def read(self, answers: Iterator[Any]) -> tuple[Pool, ...]:
        """Return the pools from the answers, those announced last first; none while the fleet announces no model.

        Raises UnknownModel when the fleet serves other models and not this one, and UnsupportedVersion where a newer
        release announced the only one.
        """
        records, current, last, models, workers, pooled = (next(answers) for _ in range(6))
        processes = {pool: next(answers) for pool in self.counted}
        identities = _identities(records, current)
        # A process counts once in each of its pools.
        found = tuple(Pool(pool, each, processes.get(pool, 0)) for pool, each in identities.items())
        self.complete = identities.keys() <= processes.keys()
        self.counted = tuple(identities)
        older = max(0, workers - pooled)
        if last is not None and (older or not found):
            found += (Pool("", wire.decode_identity(last), older),)
        if not found:
            _refuse_unknown(self.model, models)
        return found


def _identities(records: Mapping[bytes, bytes], current: Sequence[bytes]) -> dict[str, ScoringIdentity]:
    """Return the announced identities by pool, without those whose announcement is over or can't be read."""
    found = {}
    for pool in reversed(current):
        record = records.get(pool)
        identity = None if record is None else read_or_none("scoring identity", wire.decode_identity, record)
        if identity is not None:
            found[pool.decode()] = identity
    return found


def _refuse_unknown(model: str, models: Sequence[bytes]) -> None:
    """Raise UnknownModel if the fleet announces other models. A full server may have evicted this one's announcement,
    which its workers soon repeat."""
    if models and model.encode() not in models:
        names = sorted(map(name_of_bytes, models))
        hint = did_you_mean(model, names) or "; ask for one of these"
        raise UnknownModel(f"model: {model!r} is not served by this fleet, which knows {', '.join(names)}{hint}")


def read_pools(client: Any, keys: Keys, model: str, now: float) -> tuple[Pool, ...]:
    """Return the pools of a model's name: two round trips. Raises as `PoolQuestions.read`."""
    questions = PoolQuestions(keys, model)
    while True:
        questions.ask(pipe := client.pipeline(transaction=False), now)
        found = questions.read(iter(pipe.execute()))
        if questions.complete:
            return found


def processes_of(client: Any, keys: Keys, model: str, now: float) -> int:
    """Return the live processes that serve a model's name, 0 where nobody announces it in a way that can be read."""
    try:
        return sum(pool.processes for pool in read_pools(client, keys, model, now))
    except (UnknownModel, WireError):
        return 0


def largest(pools: Sequence[Pool]) -> Pool | None:
    """Return the pool with the most live processes, the first of equals; None of none."""
    return max(pools, key=lambda pool: pool.processes, default=None)
