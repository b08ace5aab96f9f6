"""Writes on a server at its memory limit: `write` runs there too, `write_if_room` silently leaves commands out.

At the limit Redis refuses each command that may need memory, one by one. It never stops a script that has already
written, so the commands go as one script.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import redis

from rerank_shared.keys import Keys
from rerank_shared.redis.scripts import Script

_RUN = Script("at_any_limit.lua")
#: Makes pipelines that are filled and never run; it never connects.
_NOWHERE = redis.Redis()


def write(pipe: Any, keys: Keys, fill: Callable[[Any], None]) -> Any:
    """Run the commands that `fill` queues, on a client or a pipeline, as one step that no memory limit refuses."""
    return _run(pipe, keys, fill, "all")


def write_if_room(pipe: Any, keys: Keys, fill: Callable[[Any], None]) -> Any:
    """Run the commands that `fill` queues; at the memory limit they are left out silently."""
    return _run(pipe, keys, fill, "some")


def _run(pipe: Any, keys: Keys, fill: Callable[[Any], None], which: str) -> Any:
    fill(noted := _NOWHERE.pipeline(transaction=False))
    commands = [args for args, _ in noted.command_stack]
    words = [word for args in commands for word in (len(args), *args)]
    return _RUN.queue_on(pipe, [keys.lease_owners], which, *words) if words else None
