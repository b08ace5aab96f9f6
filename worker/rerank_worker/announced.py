"""What a worker process tells Redis of one of its models: the scoring identity, its names, and the cost of its runs.

It also learns from Redis: the cost that an earlier process of the same model, precision and host shared, and whether
other workers score this model in another precision.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from rerank_shared import fleet
from rerank_shared.contract import wire
from rerank_shared.contract.digest import pool_id
from rerank_shared.contract.messages import ScoringIdentity
from rerank_shared.contract.unreadable import read_or_none
from rerank_shared.keys import COST_INTERVAL_S, Keys
from rerank_shared.scheduling.cost import CostParameters, SharedCost
from rerank_worker.batching.run_cost import RunCost
from rerank_worker.consume.served import ServedModel, ServedModels

log = logging.getLogger(__name__)


@dataclass(slots=True)
class AnnouncedModel:
    """One model as a process announces it under `names`; `cost_field` is where its host shares the cost."""

    identity: ScoringIdentity
    names: frozenset[str]
    run_cost: RunCost
    cost_field: str
    _shared: CostParameters | None = None
    #: Until when that need not be said again (monotonic clock), and the costs of hosts that are gone.
    _shared_until: float = 0.0
    _stale: list[bytes] = field(default_factory=list)
    #: Other precisions of this model in the fleet, each told once.
    _others: set[str] = field(default_factory=set)

    @property
    def pool(self) -> str:
        """The id of its pool."""
        return pool_id(self.identity)

    @property
    def name(self) -> str:
        """A name that means this model and no other: its own, unless that means another model of the process."""
        own = self.identity.model
        return own if own in self.names else min(self.names)

    def adopt(self, record: dict[bytes, bytes], now: float) -> None:
        """Start from the cost that stands in the record of all shared costs; `now` is epoch seconds."""
        self._stale = fleet.stale_costs(record, now)
        if (prior := fleet.read_costs(record).get(self.cost_field)) is not None:
            self.run_cost.adopt(prior.parameters)

    def cost_to_tell(self, monotonic: float) -> CostParameters | None:
        """Return the cost if it is to be shared now: it changed, or was not told for a while."""
        cost = self.run_cost.shared
        return cost if cost != self._shared or monotonic >= self._shared_until else None

    def tell(self, words: Any, keys: Keys, now: float, cost: CostParameters | None) -> None:
        """Queue on a pipeline the identity under each name, and the cost unless it is None."""
        fleet.announce(words, keys, self.identity, now, self.names)
        if cost is not None:
            fleet.share_cost(words, keys, [*self.names, self.pool], self.cost_field, SharedCost(cost, now), self._stale)

    def told(self, cost: CostParameters | None, monotonic: float) -> None:
        """Record that the pipeline with this cost was executed."""
        if cost is not None:
            self._shared, self._shared_until, self._stale = cost, monotonic + COST_INTERVAL_S, []

    def watch_precision(self, record: bytes | None) -> None:
        """Warn of a worker that scores this model in another precision; `record` is the last announcement."""
        announced = None if record is None else read_or_none("scoring identity", wire.decode_identity, record)
        if announced is None or announced.precision in {self.identity.precision, *self._others}:
            return
        self._others.add(announced.precision)
        log.warning(
            "two precisions in one fleet model=%s here=%s elsewhere=%s: each query is scored in one of them, and their "
            "scores are cached apart; set RERANK_KERNEL and RERANK_LAYOUT alike on every worker",
            self.identity.model,
            self.identity.precision,
            announced.precision,
        )


def announced_models(
    served: ServedModels, host: str, known: Iterable[AnnouncedModel] = ()
) -> tuple[AnnouncedModel, ...]:
    """Return what a process on `host` announces, the default model first.

    `known` are those that it announces already. The names of one may change when another model comes or goes.
    """
    by_pool = {model.pool: model for model in known}

    def announced(model: ServedModel) -> AnnouncedModel:
        names = served.names_of(model)
        if (found := by_pool.get(model.pool)) is not None:
            found.names = names
            return found
        field = fleet.cost_field(model.identity.precision, host)
        return AnnouncedModel(model.identity, names, model.run_cost, field)

    return tuple(announced(model) for model in served)
