"""The poller of the fleet's channels: a full consumer hands its wake-up on, and an idle one sweeps.

kombu leaves a reply unread until the consumer has room, since the reply may be a message. Where jobs are consumed the
reply is a wake-up, and holding it back would let a job wait although another worker is idle.
"""

from __future__ import annotations

import logging
from queue import Empty
from typing import Any

from kombu.transport import redis
from redis import ResponseError

from rerank_shared.redis.outage import outage_of

log = logging.getLogger(__name__)


class FleetPoller(redis.MultiChannelPoller):  # type: ignore[misc]
    """Reads every answer to BRPOP where jobs are consumed, with room or not; the channel puts back items for later."""

    def get(self, callback: Any, timeout: float | None = None) -> None:
        """Handle one event, for consumers without an event loop; if there is none, end leases that have run out.

        kombu counts a BRPOP that found nothing as an event, and so would hardly ever do the latter.
        """
        self._looked = False
        try:
            super().get(callback, timeout)
        except Empty:
            if not self._looked:
                self.maybe_restore_messages()
            raise

    def maybe_restore_messages(self) -> None:
        """Do as kombu does, but leave a refusal to the next sweep: an event loop would log a trace of each."""
        self._looked = True
        try:
            super().maybe_restore_messages()
        except ResponseError as error:
            log.debug("leases not swept: redis %s", outage_of(error).says)

    def _pause_brpop(self, channel: Any, fileno: int) -> None:
        """Keep listening where jobs are consumed; elsewhere pause as kombu does."""
        if not channel.job_queues:
            super()._pause_brpop(channel, fileno)

    def on_readable(self, fileno: int) -> Any:
        """Handle a readable connection."""
        channel, kind = self._fd_to_chan.get(fileno, (None, None))
        if kind == "BRPOP" and channel._in_poll and channel.job_queues:
            return channel.handlers[kind]()
        return super().on_readable(fileno)
