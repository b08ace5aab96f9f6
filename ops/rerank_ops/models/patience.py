"""Patience with Redis: a command that leads something waits out a short outage, says so, and gives up after a while."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from rerank_shared.errors import QueueUnavailable
from rerank_shared.redis.connections import outages_told
from rerank_shared.redis.outage import LASTING
from rerank_shared.settings import FleetSettings

#: A restart with a large file, or the fail-over of Sentinels, takes less.
LONGEST_S = 60.0


@dataclass(slots=True)
class Patience:
    """Tries again while Redis is away. `say` takes a line for the operator; `doing` continues "while"."""

    settings: FleetSettings
    doing: str
    say: Callable[[str], None]
    longest_s: float = LONGEST_S
    clock: Callable[[], float] = time.monotonic
    _away_since: float | None = None
    _back_at: float = -math.inf

    def try_to(self, do: Callable[[], None]) -> bool:
        """Do something that asks Redis, and return whether it went through.

        Raises QueueUnavailable where Redis has been away for `longest_s`, or refuses for a reason that waiting does not
        end.
        """
        try:
            with outages_told(self.settings, self.doing):
                do()
        except QueueUnavailable as error:
            now = self.clock()
            if self._away_since is None:
                self._away_since = now
                if error.reason not in LASTING:
                    self.say(f"{error.message} The command waits for {self.longest_s:.0f} s at most.")
            if error.reason in LASTING or now - self._away_since >= self.longest_s:
                raise
            return False
        if self._away_since is not None:
            self._away_since, self._back_at = None, self.clock()
            self.say("Redis is back: the command goes on")
        return True

    def settled(self, after_s: float) -> bool:
        """Whether Redis is there, and was not away within the last `after_s` seconds."""
        return self._away_since is None and self.clock() - self._back_at >= after_s
