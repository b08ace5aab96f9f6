"""The record of a rollout in Redis, beside its route, and the claim of the command that leads it.

The record is written before the route is changed and after it. So a command that was killed at any moment is followed
by one that knows what was done: the route's version says whether the change was made.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from rerank_shared.errors import RolloutTaken
from rerank_shared.keys import ROLLOUT_TTL_S, Keys
from rerank_shared.route_store.rollouts import encode_rollout, read_rollout
from rerank_shared.routing.rollout import Record

#: A command that has not told of itself for so long is dead.
CLAIM_S = 10
_LOOK_S = 1.0


@dataclass(slots=True)
class Records:
    """The record of one route's rollout, over a sync client. Raises the exceptions of redis-py."""

    client: Any
    keys: Keys
    route: str
    _me: str = field(default_factory=lambda: f"{socket.gethostname()} process {os.getpid()} {secrets.token_hex(4)}")
    _turn: int = 0

    def read(self) -> Record | None:
        """Return the last rollout; None where there is none, or none that this release reads."""
        return read_rollout(self.client.get(self.keys.rollout(self.route)))

    def write(self, record: Record) -> None:
        """Keep a record, as one of this command."""
        data = encode_rollout(replace(record, led_by=self._me))
        self.client.set(self.keys.rollout(self.route), data, ex=ROLLOUT_TTL_S)

    def claim(self, wait: Callable[[float], bool]) -> None:
        """Become the command that leads the rollout. Raises RolloutTaken while another one lives.

        A killed command's claim runs out. One that lives writes it again, with another number. `wait` waits for some
        seconds and says whether to give up.
        """
        seen = None
        while not self._write_claim(nx=True):
            found = self._claim()
            if (seen is not None and found not in (None, seen)) or wait(_LOOK_S):
                raise RolloutTaken(f"a rollout of {self.route!r} is led by {_who(found or seen)} already")
            seen = found or seen

    def take_over(self) -> None:
        """Become the command that leads the rollout, whoever led it before; that one stops at its next look."""
        self._write_claim()

    def renew(self) -> None:
        """Tell that this command lives. Raises RolloutTaken where another one has taken the rollout over.

        The other one may have ended already, so the record tells of it too.
        """
        record = self.read()
        others = [self._claim(), None if record is None else f"{record.led_by} "]
        for found in others:
            if found is not None and not found.startswith(f"{self._me} "):
                raise RolloutTaken(f"the rollout of {self.route!r} was taken over by {_who(found)}")
        self._write_claim()

    def release(self) -> None:
        """Let the next command lead at once, if this one leads."""
        if (found := self._claim()) is not None and found.startswith(f"{self._me} "):
            self.client.delete(self.keys.rollout_holder(self.route))

    def leader(self) -> str | None:
        """Return who leads the rollout now, None where nobody does."""
        found = self._claim()
        return None if found is None else _who(found)

    def _claim(self) -> str | None:
        data = self.client.get(self.keys.rollout_holder(self.route))
        return None if data is None else str(data.decode(errors="replace"))

    def _write_claim(self, *, nx: bool = False) -> bool:
        self._turn += 1
        claim = f"{self._me} {self._turn}"
        return bool(self.client.set(self.keys.rollout_holder(self.route), claim, ex=CLAIM_S, nx=nx))


def _who(claim: str | None) -> str:
    """Return host and process of a claim."""
    return " ".join(str(claim).split(" ")[:3])
