"""When a shadow's request is dropped: shadows are the first to go where a fleet has other work. Pure."""

from __future__ import annotations

import math

from rerank_producer._dispatch.fleet_load import FleetLoad
from rerank_shared.drift.figures import Drop
from rerank_shared.errors import (
    DeadlineExceeded,
    InvalidRequest,
    Overloaded,
    QueueUnavailable,
    RerankError,
    UnknownModel,
)

#: A pool that needs longer for what waits in it has no time for shadows.
MOST_WAIT_S = 1.0
#: In this order: an unknown model is a wrong request too.
_DROPS: tuple[tuple[type[RerankError], Drop], ...] = (
    (UnknownModel, "no_workers"),
    (InvalidRequest, "unfit"),
    (Overloaded, "busy"),
    (DeadlineExceeded, "late"),
    (QueueUnavailable, "unavailable"),
)


class Dropped(Exception):
    """A request that no shadow scores."""

    def __init__(self, reason: Drop) -> None:
        super().__init__(reason)
        self.reason = reason


def refuse_load(load: FleetLoad | None) -> None:
    """Raise Dropped where a pool has no process for a shadow; None: the server did not tell. `load` has its backlog."""
    if load is None:
        raise Dropped("unavailable")
    if load.workers == 0:
        raise Dropped("no_workers")
    # All that waits goes before: the shadow is the least urgent of class bulk.
    if load.idle == 0 and (load.cost is None or load.wait_s("bulk", math.inf) > MOST_WAIT_S):
        raise Dropped("busy")


def drop_of(error: Exception) -> Drop:
    """Return the reason that an error of a shadow's request is counted under."""
    if isinstance(error, Dropped):
        return error.reason
    return next((reason for kind, reason in _DROPS if isinstance(error, kind)), "failed")
