"""The Lua scripts as functions. Each is one atomic step: a killed process has run it as a whole or not at all.

Their keys are those of Keys, in the order that `lua/queue.lua` reads; some are prefixes to which a name is appended.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

from redis.exceptions import NoScriptError

from rerank_shared.keys import (
    DEAD_MAX,
    DEAD_TTL_S,
    DEATHS_TTL_S,
    ENDED_PER_SWEEP,
    FAIR_TTL_S,
    QUEUES,
    Keys,
)
from rerank_shared.queue.urgency_headers import Urgency

_LUA = resources.files("rerank_shared").joinpath("lua")


class Script:
    """A script, sent as text by its first call and called by its hash afterwards."""

    def __init__(self, *files: str) -> None:
        self.text = "\n".join(_LUA.joinpath(name).read_text() for name in files)
        self.sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()
        # The first call sends the text: a hash that the server does not know would cost one more round trip at the
        # start.
        self._told = False

    def __call__(self, client: Any, keys: Sequence[str | bytes], *args: Any) -> Any:
        """Run the script."""
        if self._told:
            try:
                return client.evalsha(self.sha, len(keys), *keys, *args)
            except NoScriptError:
                pass
        answer = client.eval(self.text, len(keys), *keys, *args)
        self._told = True
        return answer

    async def on(self, client: Any, keys: list[Any], *args: Any) -> Any:
        """Run the script on an asyncio client."""
        if self._told:
            try:
                return await client.evalsha(self.sha, len(keys), *keys, *args)
            except NoScriptError:
                pass
        answer = await client.eval(self.text, len(keys), *keys, *args)
        self._told = True
        return answer


ENQUEUE, PUT, FILE, REFILE, TAKE, GIVE_BACK, FINISH, SWEEP, PURGE = (
    Script("queue.lua", f"{name}.lua")
    for name in ("enqueue", "put", "file", "refile", "take", "give_back", "finish", "sweep", "purge")
)
RENEW, EXPIRE = Script("renew.lua"), Script("expire.lua")
#: Not a script of the queue: the token buckets of API keys at the gateway.
BUCKET = Script("bucket.lua")


@dataclass(frozen=True, slots=True)
class Taken:
    """A job as it was taken: its queue, its message as JSON, how often it was taken before, and how many of those
    leases ran out.
    """

    queue: str
    message: bytes
    deliveries: int
    deaths: int


class QueueScripts:
    """The scripts on the keys of one namespace. `client` is given with each call: it must not prefix keys by itself."""

    def __init__(self, keys: Keys) -> None:
        self._keys = [keys.unacked, keys.leases, keys.lease_owners, keys.lifetimes, keys.dead, keys.dead_index]
        self._keys += [keys.deaths(""), keys.text(""), *keys.queue_prefixes]

    def call(self, more_keys: Iterable[Any], args: Iterable[Any]) -> tuple[list[Any], list[Any]]:
        """Return the keys and the arguments of one of the queue's scripts, for a client of any kind."""
        return [*self._keys, *more_keys], [QUEUES, *args]

    def put_command(self, queue: str, tag: str, message: str, urgency: Urgency) -> tuple[Any, ...]:
        """Return the arguments of EVAL that put a message on a queue, for a pipeline."""
        return (PUT.text, len(self._keys), *self._keys, QUEUES, queue, tag, message, *_place(urgency))

    def put(self, client: Any, queue: str, tag: str, message: str, urgency: Urgency) -> None:
        """Put a message on a queue. A second call with the same tag adds no second job while the first one waits."""
        self._run(PUT, client, queue, tag, message, *_place(urgency))

    def file(self, client: Any, queue: str, tag: str, message: str, urgency: Urgency) -> None:
        """Put a plain Celery sender's message, which the server has already, on a queue, even if the server is full."""
        self._run(FILE, client, queue, tag, message, *_place(urgency))

    def refile(self, client: Any, source: str, target: str, tag: str, message: str, urgency: Urgency) -> bool:
        """Move a job that waits on the queue `source`, or was taken from it, to the queue `target`, which the message
        names; return whether it was found."""
        return bool(self._run(REFILE, client, source, target, tag, message, *_place(urgency)))

    def take(
        self,
        client: Any,
        queues: Iterable[str],
        *,
        owner: str,
        before: float | None,
        bulk_share: float,
    ) -> Taken | None:
        """Take the next job of these queues for `owner`; None without one due before `before` (epoch seconds).

        The queues of a pool stand together; of several pools, the first with an interactive job gives it.
        """
        limit = "" if before is None else repr(before)
        found = self._run(TAKE, client, owner, limit, repr(bulk_share), FAIR_TTL_S, *queues)
        return None if found is None else Taken(found[0].decode(), found[1], int(found[2]), int(found[3]))

    def give_back(self, client: Any, tags: Iterable[str]) -> None:
        """Let taken jobs wait again."""
        self._run(GIVE_BACK, client, *tags)

    def finish(self, client: Any, keys: Sequence[str | bytes], *args: Any) -> bool:
        """End a job; `keys` and `args` are those of lua/finish.lua. Return whether its lease was still held."""
        return bool(FINISH(client, [*self._keys, *keys], QUEUES, *args))

    def sweep(self, client: Any, *, lease_s: float, limit: int, max_deaths: int) -> list[bytes]:
        """End the leases that have run out, and the keys whose time in `Keys.lifetimes` is over.

        Returns the records of the jobs that were set aside.
        """
        life = DEATHS_TTL_S, DEAD_TTL_S, DEAD_MAX, ENDED_PER_SWEEP
        dead: list[bytes] = self._run(SWEEP, client, lease_s, limit, max_deaths, *life)
        return dead

    def purge(self, client: Any, queue: str) -> int:
        """Drop all waiting jobs of a queue; return their number."""
        return int(self._run(PURGE, client, queue))

    def _run(self, script: Script, client: Any, *args: Any) -> Any:
        return script(client, self._keys, QUEUES, *args)


def _place(urgency: Urgency) -> tuple[str, int, str]:
    return repr(urgency.due_at), urgency.tokens, urgency.tenant


@lru_cache(maxsize=64)
def scripts_of(keys: Keys) -> QueueScripts:
    """Return the scripts on a namespace's keys, for callers that need them for each job: spelling all takes long."""
    return QueueScripts(keys)
