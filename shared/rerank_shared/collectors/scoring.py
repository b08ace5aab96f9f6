"""The scoring identities that live workers serve under one name, as an info metric: all that a score depends on."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from rerank_shared.collectors.patience import SCRAPE_TIMEOUT_S
from rerank_shared.contract.messages import ScoringIdentity, name_of
from rerank_shared.errors import RerankError
from rerank_shared.keys import Keys
from rerank_shared.pools import read_pools
from rerank_shared.redis.connections import OUTAGES_AND_REFUSALS, connect
from rerank_shared.redis.server_clock import server_epoch
from rerank_shared.settings import Settings

#: Enough of a digest to tell two models apart.
_DIGEST_CHARS = 12


class ScoringCollector(Collector):
    """Reads the announced identity at each scrape. Absent while no worker has announced one.

    Where no worker lives, it is that of the pool announced last.
    """

    def __init__(self, settings: Settings) -> None:
        self._client = connect(settings, timeout_s=SCRAPE_TIMEOUT_S)
        self._keys = Keys(settings.namespace)
        self._model = name_of(settings.model)

    def describe(self) -> Iterator[Metric]:
        """Yield the metric without a value, so that registering needs no Redis server."""
        yield _family()

    def collect(self) -> Iterator[Metric]:
        """Yield the metric, if the server tells."""
        try:
            pools = read_pools(self._client, self._keys, self._model, server_epoch(self._client))
        except OUTAGES_AND_REFUSALS:
            return
        except RerankError:
            # The fleet serves other models, or another release announced this one.
            return
        served = [pool for pool in pools if pool.processes] or pools[:1]
        if served:
            yield _family(*(pool.identity for pool in served))


def _family(*identities: ScoringIdentity) -> Metric:
    family = InfoMetricFamily(
        "rerank_scoring", "The scoring identities that the fleet serves: all that a score depends on."
    )
    for identity in identities:
        family.add_metric([], {
            "model": identity.model,
            "model_digest": identity.model_digest[:_DIGEST_CHARS],
            "tokenizer_digest": identity.tokenizer_digest[:_DIGEST_CHARS],
            "precision": identity.precision,
            "max_length": str(identity.max_length),
            "truncation": identity.truncation,
            "activation": identity.activation,
        })  # fmt: skip
    return family
