"""A worker process and its server before they are connected: waits for one that is away, refuses one that won't do.

An outage is told once, in words, within seconds; nothing here blocks longer than that, so that a process which waits
obeys a signal.
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
#: For one look: a server that takes longer counts as silent.
_TIMEOUT_S = 1.5
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 2.0
#: Between two looks whether the process shall end.
_STEP_S = 0.2


@dataclass(slots=True)
class ServerWait:
    """Looks at the server for one process. `refuse` is for its start, `wait` for whenever it connects."""

    settings: Settings
    sleep: Callable[[float], None] = time.sleep
    _told: Outage | None = None

    def refuse(self) -> None:
        """Raise ConfigurationError if no waiting would make the server do; say so if it is away."""
        told = self._look()
        if told is not None and told[0].lasts:
            raise ConfigurationError(told[1])
        self._tell(told)

    def wait(self, stop_if_asked: Callable[[], None]) -> None:
        """Return when the server will do; `stop_if_asked` is called several times a second and may raise.

        Here a wrong password is waited out as well: it was right before, so somebody is about to change the server.
        """
        pause_s = _FIRST_PAUSE_S
        while (told := self._look()) is not None and told[0].kind != "out_of_memory":
            self._tell(told)
            self.rest(stop_if_asked, pause_s)
            pause_s = min(_LONGEST_PAUSE_S, 1.5 * pause_s)
        self._tell(told)

    def rest(self, stop_if_asked: Callable[[], None], pause_s: float = _LONGEST_PAUSE_S) -> None:
        """Return after a pause, during which `stop_if_asked` is called as in `wait`."""
        end = time.monotonic() + pause_s
        while time.monotonic() < end:
            stop_if_asked()
            self.sleep(_STEP_S)
        stop_if_asked()

    def _look(self) -> tuple[Outage, str] | None:
        """Return what is wrong, with words for it."""
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
        """Log a state when it differs from the last."""
        outage = None if told is None else told[0]
        if told is not None and outage != self._told:
            log.warning("waiting for redis reason=%s: %s", told[0].kind, told[1])
        elif told is None and self._told is not None:
            log.warning("redis answers")
        self._told = outage
