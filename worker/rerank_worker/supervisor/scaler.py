"""Scaler: lets a supervisor follow the autoscaling signal, on one host.

It looks once a second. While Redis is away nothing changes. Worker processes of other supervisors count as given: this
one adds what is wanted beyond them.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from rerank_shared.contract.messages import Heartbeat
from rerank_shared.redis.connections import OUTAGES_AND_REFUSALS, connect
from rerank_shared.redis.outage import outage_of
from rerank_shared.scheduling.autoscaling import followed
from rerank_shared.settings import Settings
from rerank_shared.watch.autoscale import AutoscaleSignal, read_signal
from rerank_worker.supervisor.child import family_name

log = logging.getLogger(__name__)
_LOOK_S = 1.0
#: Longer than that and the look is worth less than the next one.
_TIMEOUT_S = 5.0


class Resizable(Protocol):
    """The part of a supervisor that the scaler needs."""

    @property
    def processes(self) -> int:
        """The number of processes that are kept running."""

    def resize(self, processes: int, held: Mapping[str, int]) -> None:
        """Request another number; those that hold the fewest tokens, by name, end first."""


class Scaler:
    """Follows the signal for one supervisor."""

    def __init__(
        self, settings: Settings, supervisor: Resizable, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._supervisor = supervisor
        self._clock = clock
        self._grown_at = clock()
        self._away = False
        self._stop = threading.Event()

    @contextmanager
    def following(self) -> Iterator[None]:
        """Follow the signal, on a thread, inside the block."""
        thread = threading.Thread(target=self._loop, name="scaler", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def follow(self, signal: AutoscaleSignal) -> None:
        """Ask the supervisor for what the signal wants. Within a cool-down of the last growth it never shrinks."""
        ours, others = _divided(signal.state.workers)
        kept = self._supervisor.processes
        now, wanted = self._clock(), max(0, signal.wanted.processes - others)
        target = followed(wanted, kept, now - self._grown_at, self._settings.cooldown_s)
        if target > kept:
            self._grown_at = now
        if target != kept:
            log.info(
                "autoscaling processes=%d from=%d reason=%s drain_s=%.1f busy=%.1f",
                target,
                kept,
                signal.wanted.reason,
                signal.state.predicted_drain_s,
                signal.busy,
            )
            self._supervisor.resize(target, {worker.worker_id: worker.held_tokens for worker in ours})

    def _loop(self) -> None:
        with connect(self._settings, timeout_s=_TIMEOUT_S) as client:
            while not self._stop.wait(_LOOK_S):
                self._look(client)

    def _look(self, client: Any) -> None:
        try:
            self.follow(read_signal(client, self._settings))
            self._away = False
        except OUTAGES_AND_REFUSALS as error:
            if not self._away:
                log.warning("autoscaling waits, processes stay as they are: redis %s", outage_of(error).says)
            self._away = True
        except Exception:
            # Without this thread the fleet would stay as it is for ever, and silently.
            log.exception("autoscaling failed, this is a bug")


def _divided(workers: tuple[Heartbeat, ...]) -> tuple[list[Heartbeat], int]:
    """Return the workers of this supervisor, and the number of all others."""
    ours = [worker for worker in workers if worker.worker_id.startswith(family_name())]
    return ours, len(workers) - len(ours)
