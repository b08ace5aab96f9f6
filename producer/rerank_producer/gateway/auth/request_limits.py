"""The limits of a request, from its key and its headers: its tenant, its deadline, its documents, its cached scores.

The key's defaults are found here too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rerank_producer._request.plan import default_deadline_ms
from rerank_producer.apis.common.call import RerankCall
from rerank_producer.gateway.auth.keyring import ApiKey
from rerank_producer.gateway.http.headers import deadline_ms, takes_partial
from rerank_shared.keys import CacheScope, FusionMethod
from rerank_shared.settings import Settings


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """The limits of one request.

    `key` is None where no keys are set. `deadline_ms` is the header's, if there is one; it counts from `started`,
    seconds of the monotonic clock.
    """

    key: ApiKey | None
    deadline_ms: float | None
    partial: bool
    started: float

    def tenant(self, call: RerankCall) -> str:
        """Return the tenant: the key's, or the request's where no keys are set."""
        return call.tenant if self.key is None else self.key.tenant

    def cache_scope(self, call: RerankCall) -> CacheScope:
        """Return the scope of its cached scores: its tenant where the key or the request says so, else the fleet."""
        of_key = "fleet" if self.key is None else self.key.cache_scope
        return "tenant" if "tenant" in (of_key, call.cache_scope) else "fleet"

    def fusion(self, call: RerankCall) -> FusionMethod | None:
        """Return how first-stage scores count: the request's word, else the key's; None: by the settings.

        The key's is for the requests that have such scores.
        """
        if call.fusion.method is not None or self.key is None or not call.has_first_stage_scores:
            return call.fusion.method
        return self.key.fusion

    def fusion_weight(self, call: RerankCall) -> float | None:
        """Return how much the first stage counts: the request's word, else the key's; None: by the settings."""
        if call.fusion.weight is not None or self.key is None:
            return call.fusion.weight
        return self.key.fusion_weight

    def left_ms(
        self, call: RerankCall, settings: Settings, now: float, *, waits: bool, by_route: float | None = None
    ) -> float:
        """Return the milliseconds left of the deadline: the header's, else the body's, key's, route's, or fleet's.

        The key's default is for a caller that `waits`, not for a job that is collected later. The fleet's longest
        default is the maximum: Redis may have to keep the request's records that long.
        """
        of_key = self.key.default_deadline_ms if waits and self.key is not None else None
        of_fleet = default_deadline_ms(call.job_class, settings)
        given = (self.deadline_ms, call.deadline_ms, of_key, by_route, of_fleet)
        whole_ms = next(each for each in given if each is not None)
        most_ms = max(settings.default_deadline_ms, settings.bulk_deadline_ms)
        return min(whole_ms, most_ms) - (now - self.started) * 1000

    @property
    def max_documents(self) -> int | None:
        """Documents one request may carry, where the key has a limit below the fleet's."""
        return None if self.key is None else self.key.max_documents


def limits_of(key: ApiKey | None, headers: Mapping[str, str], started: float) -> RequestLimits:
    """Return the limits of a request. Raises Refused for a header that can't be read."""
    return RequestLimits(key, deadline_ms(headers), takes_partial(headers), started)
