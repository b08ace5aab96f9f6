"""Health of a supervisor beside its /metrics: /healthz and /readyz, for the probes of the platform that runs it.

/healthz is liveness: the loop that restarts processes turns. It never asks Redis, whose outage no restart cures.
/readyz is readiness: each process is warm, which its heartbeat in Redis shows. A rolling update waits for that.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from http import HTTPStatus
from typing import Any, Protocol

from rerank_shared.errors import QueueUnavailable
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import connect, outages_told
from rerank_shared.redis.server_clock import epoch_of
from rerank_shared.settings import Settings

#: Below the patience of a probe, and far above what a loop needs that is not stuck.
_TURN_S = 2.0
_REDIS_S = 1.0
_HEADERS = (("Content-Type", "application/json"), ("Cache-Control", "no-store"))

#: A WSGI application.
App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Watched(Protocol):
    """The part of a supervisor that its health depends on."""

    def turns(self, timeout_s: float) -> bool:
        """Return whether the loop handles a request within the time."""

    def names(self) -> Sequence[str]:
        """Return the names of the processes that it keeps, started or not; none once it drains."""


class Health:
    """Answers the two paths. Asked on threads of the endpoint."""

    def __init__(self, settings: Settings, watched: Watched) -> None:
        self._settings = settings
        self._watched = watched
        self._checks = {"/healthz": self._stuck, "/readyz": self._lacking}

    def beside(self, app: App) -> App:
        """Return an application that answers the two paths, and leaves all others to `app`."""

        def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            check = self._checks.get(environ["PATH_INFO"])
            if check is None:
                return app(environ, start_response)
            reason = check()
            status = HTTPStatus.OK if reason is None else HTTPStatus.SERVICE_UNAVAILABLE
            start_response(f"{status.value} {status.phrase}", list(_HEADERS))
            told = {"status": "ok"} if reason is None else {"status": "not ok", "reason": reason}
            return [json.dumps(told).encode()]

        return answer

    def _stuck(self) -> str | None:
        return None if self._watched.turns(_TURN_S) else f"the supervisor has not answered for {_TURN_S:g} s"

    def _lacking(self) -> str | None:
        names = self._watched.names()
        if not names:
            return "draining"
        try:
            warm = self._warm()
        except QueueUnavailable:
            return "Redis can't be reached, or refuses"
        cold = len([name for name in names if name not in warm])
        return f"{cold} of {len(names)} processes are not warm" if cold else None

    def _warm(self) -> set[str]:
        """Return the names of all processes of the fleet whose heartbeat counts, by the server's clock."""
        with (
            outages_told(self._settings, "looking for workers"),
            connect(self._settings, timeout_s=_REDIS_S) as client,
        ):
            now = epoch_of(client.time())
            beating = client.zrangebyscore(Keys(self._settings.namespace).workers, now, "+inf")
        return {name.decode() for name in beating}
