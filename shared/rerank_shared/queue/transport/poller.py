"""The poller of the fleet's channels: a consumer that may take no more hands its wake-up on, and an idle one sweeps.

kombu leaves a reply unread until there is room again, since the reply may be a message. Where jobs are consumed it is a
wake-up, and to sit on it would let a job wait although another worker is idle.
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
    """Reads every answer to BRPOP where jobs are consumed, room or not; the channel puts back what it can't take."""

    def get(self, callback: Any, timeout: float | None = None) -> None:
        """Handle one event, for consumers without an event loop; without one, end leases that have run out.

        kombu counts a BRPOP that found nothing as an event, and so would hardly ever look for them.
        """
        self._looked = False
        try:
            super().get(callback, timeout)
        except Empty:
            if not self._looked:
                self.maybe_restore_messages()
            raise

    def maybe_restore_messages(self) -> None:
        """As kombu's, but a refusal is left to the next look: an event loop would log a trace of each."""
        self._looked = True
        try:
            super().maybe_restore_messages()
        except ResponseError as error:
            log.debug("leases not swept: redis %s", outage_of(error).says)

    def _pause_brpop(self, channel: Any, fileno: int) -> None:
        """Keep listening where jobs are consumed."""
        if not channel.consumed_classes:
            super()._pause_brpop(channel, fileno)

    def on_readable(self, fileno: int) -> Any:
        """Handle a connection that has something to say."""
        channel, kind = self._fd_to_chan.get(fileno, (None, None))
        if kind == "BRPOP" and channel._in_poll and channel.consumed_classes:
            return channel.handlers[kind]()
        return super().on_readable(fileno)
