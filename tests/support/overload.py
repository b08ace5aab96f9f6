"""A fleet that is overloaded by what it says of itself: one process, minutes of work before it, nobody who runs it."""

from __future__ import annotations

from collections.abc import Sequence

from producer.echo_worker import announce
from rerank_producer import RerankClient
from rerank_shared.contract.messages import name_of
from rerank_shared.fleet import cost_field, share_cost
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import connect
from rerank_shared.scheduling.cost import CostParameters, SharedCost
from rerank_shared.settings import Settings

#: Of what waits. It stops counting then; no test takes as long.
_WAITING_MS = 600_000.0
_WAITING = ["a", "b c", "d e f"] * 40
_SLOW = CostParameters(run_s=1.0, token_s=1.0, token_longest_s=0.0)


def overloaded_fleet(settings: Settings, cost: CostParameters = _SLOW, waiting: Sequence[str] = _WAITING) -> Settings:
    """Make it so; returns the settings of its clients, for whom whatever they ask comes after what is `waiting`."""
    # Age alone orders then, so a request may have any deadline.
    settings = settings.model_copy(update={"aging_s": 0.001})
    keys = Keys(settings.namespace)
    with connect(settings) as client, RerankClient(settings) as producer:
        announce(client, settings)
        pipe = client.pipeline(transaction=False)
        share_cost(pipe, keys, [name_of(settings.model)], cost_field("echo", "here"), SharedCost(cost))
        pipe.execute()
        producer.submit("q", waiting, deadline_ms=_WAITING_MS)
    return settings
