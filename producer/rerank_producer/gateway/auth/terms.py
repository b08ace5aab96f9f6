"""On which terms a request is served: who asks, for how long, and how much. From its key and its headers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rerank_producer._request.plan import default_deadline_ms
from rerank_producer.gateway.apis.ask import Ask
from rerank_producer.gateway.auth.keyring import ApiKey
from rerank_producer.gateway.http.headers import deadline_ms, takes_partial
from rerank_shared.keys import CacheScope
from rerank_shared.settings import Settings


@dataclass(frozen=True, slots=True)
class Terms:
    """`key` is None where no keys are set; `deadline_ms` is the header's, if there is one; it counts from `started`, by
    the monotonic clock."""

    key: ApiKey | None
    deadline_ms: float | None
    partial: bool
    started: float

    def tenant(self, ask: Ask) -> str:
        """Return whom the fleet charges: the key's tenant; where no keys are set, the one that the request names."""
        return ask.tenant if self.key is None else self.key.tenant

    def cache_scope(self, ask: Ask) -> CacheScope:
        """Return who may find its scores in the cache: its tenant alone where the key or the request says so."""
        of_key = "fleet" if self.key is None else self.key.cache_scope
        return "tenant" if "tenant" in (of_key, ask.cache_scope) else "fleet"

    def left_ms(self, ask: Ask, settings: Settings, now: float, *, waits: bool) -> float:
        """Return how much is left of the time that the header gives, else the body, else the key, else the fleet.

        What a key gives is for who `waits`, not for jobs that are collected later. Nobody gets more than the fleet's
        longest default: so long Redis may have to keep what belongs to the request.
        """
        of_key = self.key.default_deadline_ms if waits and self.key is not None else None
        given = (self.deadline_ms, ask.deadline_ms, of_key, default_deadline_ms(ask.job_class, settings))
        whole_ms = next(each for each in given if each is not None)
        most_ms = max(settings.default_deadline_ms, settings.bulk_deadline_ms)
        return min(whole_ms, most_ms) - (now - self.started) * 1000

    @property
    def max_documents(self) -> int | None:
        """Documents one request may carry, where the key has a limit below the fleet's."""
        return None if self.key is None else self.key.max_documents


def terms_of(key: ApiKey | None, headers: Mapping[str, str], started: float) -> Terms:
    """Return the terms of a request. Raises Refused for a header that makes no sense."""
    return Terms(key, deadline_ms(headers), takes_partial(headers), started)
