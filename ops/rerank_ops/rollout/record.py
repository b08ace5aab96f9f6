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
from typing import Any, Literal

from pydantic import TypeAdapter

from rerank_ops.rollout.plan import Drift, Names, Plan
from rerank_shared.contract.unreadable import read_or_none
from rerank_shared.errors import RolloutTaken
from rerank_shared.keys import ROLLOUT_TTL_S, Keys
from rerank_shared.routing.route import Route, Share

#: A command that has not told of itself for so long is dead.
CLAIM_S = 10
_LOOK_S = 1.0

State = Literal["waiting", "moving", "holding", "returning", "aborting", "done", "returned", "aborted", "stopped"]
#: A change of the route is under way.
CHANGING = ("moving", "returning", "aborting")
ENDED = ("done", "returned", "aborted", "stopped")


@dataclass(frozen=True, slots=True)
class Record:
    """A rollout at one moment.

    - `step`: the index in the plan of the share that is in force; -1 before the first.
    - `versions`: of the route, as they were made; the first is that before the rollout.
    - `held_since`: when the step began, or was taken up again, in epoch seconds of the server.
    - `reason`: why it ended other than done.
    - `led_by`: host and process of the command that wrote the record.
    """

    route: str
    old: str
    new: str
    plan: Plan
    versions: tuple[int, ...]
    state: State = "waiting"
    step: int = -1
    held_since: float = 0.0
    reason: str = ""
    drift: Drift | None = None
    led_by: str = ""

    @property
    def ended(self) -> bool:
        """Whether nothing more happens to it."""
        return self.state in ENDED

    @property
    def names(self) -> Names:
        """The two models."""
        return Names(self.old, self.new)

    @property
    def version(self) -> int:
        """The version of the route that it made last, or found."""
        return self.versions[-1]

    @property
    def percent(self) -> float:
        """The new model's percentage that is in force."""
        return 0.0 if self.step < 0 else self.plan.steps[self.step]

    @property
    def wanted(self) -> float:
        """The percentage that a change under way makes."""
        return self.plan.steps[self.step + 1] if self.state == "moving" else 0.0

    def shares(self, percent: float) -> tuple[Share, ...]:
        """Return the route's shares at a percentage of the new model."""
        both = (Share(self.old, 100.0 - percent), Share(self.new, percent))
        return tuple(share for share in both if share.weight > 0)

    def changed(self, version: int, now: float) -> Record:
        """Return the record after the change under way, which made `version`."""
        made = replace(self, versions=(*self.versions, version), held_since=now)
        if self.state == "moving":
            return replace(made, state="holding", step=self.step + 1)
        return replace(made, state="aborted" if self.state == "aborting" else "returned")

    def made_by(self, found: Route | None) -> bool:
        """Whether the change under way is made already: the route is one version on, with the shares wanted."""
        if self.state not in CHANGING or found is None or found.version != self.version + 1:
            return False
        return found.shares == self.shares(self.wanted)


_FORM = TypeAdapter(Record)


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
        data = self.client.get(self.keys.rollout(self.route))
        return None if data is None else read_or_none("rollout", _FORM.validate_json, data)

    def write(self, record: Record) -> None:
        """Keep a record, as one of this command."""
        data = _FORM.dump_json(replace(record, led_by=self._me))
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
