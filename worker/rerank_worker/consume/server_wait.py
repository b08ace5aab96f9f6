"""Server wait: waits for a Redis server that is away, and refuses one that the fleet can't use, before connecting.

An outage is logged once, in words, within seconds. No call blocks longer than that without a check for a stop, so a
waiting process obeys signals.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from rerank_shared.errors import ConfigurationError
from rerank_shared.keys import Keys
from rerank_shared.redis.access import find_lacks, worst
from rerank_shared.redis.connections import OUTAGES_AND_REFUSALS, connect, told_of
from rerank_shared.redis.outage import Outage, outage_of
from rerank_shared.settings import Settings

log = logging.getLogger(__name__)
#: The limit of one check: a server that takes longer counts as silent.
_TIMEOUT_S = 1.5
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 2.0
#: The pause between two checks for a stop.
_STEP_S = 0.2


@dataclass(slots=True)
class ServerWait:
    """Checks the server for one process: `refuse` at its start, `wait` before each connection."""

    settings: Settings
    sleep: Callable[[float], None] = time.sleep
    _told: Outage | None = None

    def refuse(self) -> None:
        """Raise ConfigurationError if waiting can't make the server usable; log a warning if the server is away."""
        told = self._look()
        if told is not None and told[0].lasts:
            raise ConfigurationError(told[1])
        self._tell(told)

    def wait(self, stop_if_asked: Callable[[], None]) -> None:
        """Return when the server is usable; `stop_if_asked` is called several times a second and may raise.

        A wrong password is waited out as well: it was right at the start, so the server is being changed. A server
        that is out of memory counts as usable.
        """
        pause_s = _FIRST_PAUSE_S
        while (told := self._look()) is not None and told[0].kind != "out_of_memory":
            self._tell(told)
            self.rest(stop_if_asked, pause_s)
            pause_s = min(_LONGEST_PAUSE_S, 1.5 * pause_s)
        self._tell(told)

    def rest(self, stop_if_asked: Callable[[], None], pause_s: float = _LONGEST_PAUSE_S) -> None:
        """Pause, and call `stop_if_asked` as in `wait` meanwhile."""
        end = time.monotonic() + pause_s
        while time.monotonic() < end:
            stop_if_asked()
            self.sleep(_STEP_S)
        stop_if_asked()

    def _look(self) -> tuple[Outage, str] | None:
        """Return the outage and a sentence about it; None if the server is usable."""
        doing = "a worker tried to connect"
        try:
            with connect(self.settings, timeout_s=_TIMEOUT_S) as client:
                lack = worst(find_lacks(client, Keys(self.settings.namespace)))
            if lack is None:
                return None
            outage, doing = lack.outage, f"a worker tried to {lack.needs}"
        except OUTAGES_AND_REFUSALS as error:
            outage = outage_of(error)
        return outage, told_of(outage, self.settings, doing)

    def _tell(self, told: tuple[Outage, str] | None) -> None:
        """Log the server's state if it differs from the last one."""
        outage = None if told is None else told[0]
        if told is not None and outage != self._told:
            log.warning("waiting for redis reason=%s: %s", told[0].kind, told[1])
        elif told is None and self._told is not None:
            log.warning("redis answers")
        self._told = outage
