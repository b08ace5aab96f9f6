"""The precision in which live workers serve a model: what a worker that starts must score in too."""

from __future__ import annotations

import logging

from rerank_shared.contract import wire
from rerank_shared.contract.messages import name_of
from rerank_shared.contract.unreadable import read_or_none
from rerank_shared.keys import Keys
from rerank_shared.models.catalogue import ModelFiles
from rerank_shared.redis.connections import OUTAGES_AND_REFUSALS, connect
from rerank_shared.redis.outage import outage_of
from rerank_shared.settings import Settings

log = logging.getLogger(__name__)
#: A worker that starts while the server is away serves all the same; its heartbeats notice another precision later.
_TIMEOUT_S = 2.0


def served_precision(settings: Settings, files: ModelFiles) -> str | None:
    """Return the precision of the fleet's scores of this very model; None where no live worker serves it.

    None too if the server can't be asked, which is logged.
    """
    keys = Keys(settings.namespace)
    try:
        with connect(settings, timeout_s=_TIMEOUT_S) as client:
            seconds, _ = client.time()
            if not client.zcount(keys.workers, seconds, "+inf"):
                return None
            # One that an export has the name of may be served beside it, so both names are looked up.
            records = client.mget([keys.identity(files.name), keys.identity(name_of(settings.model))])
    except OUTAGES_AND_REFUSALS as error:
        log.warning("the fleet's precision is not known: redis %s", outage_of(error).says)
        return None
    found = (read_or_none("scoring identity", wire.decode_identity, record) for record in records if record)
    return next((each.precision for each in found if each and each.model_digest == files.model_digest), None)
