"""The models that a process answers for, by the names that requests use."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from rerank_shared.contract.digest import pool_id
from rerank_shared.contract.messages import ScoringIdentity
from rerank_shared.errors import UnknownModel
from rerank_shared.scheduling.cost import Work
from rerank_worker.batching.lane import Lane
from rerank_worker.batching.run_cost import RunCost
from rerank_worker.tokenizing import PairTokenizer


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model with its lane in the scorer. `alias`: a second name by which requests may ask for it."""

    identity: ScoringIdentity
    tokenizer: PairTokenizer
    lane: Lane
    alias: str

    @property
    def pool(self) -> str:
        """The id of its pool."""
        return pool_id(self.identity)

    @property
    def run_cost(self) -> RunCost:
        """The cost of its runs."""
        return self.lane.run_cost


class ServedModels:
    """All models of a process, the default one first.

    An alias means its own model. A name that several models have means the first of them, as two exports of one
    original have.
    """

    def __init__(self, models: Sequence[ServedModel]) -> None:
        self._models = tuple(models)
        self._by_name = {model.alias: model for model in models}
        for model in models:
            self._by_name.setdefault(model.identity.model, model)

    def __iter__(self) -> Iterator[ServedModel]:
        return iter(self._models)

    def __len__(self) -> int:
        return len(self._models)

    @property
    def default(self) -> ServedModel:
        """The first model."""
        return self._models[0]

    @property
    def pools(self) -> tuple[str, ...]:
        """The ids of the pools whose jobs this process takes."""
        return tuple(dict.fromkeys(model.pool for model in self._models))

    @property
    def names(self) -> Collection[str]:
        """All names that mean a model of this process."""
        return self._by_name.keys()

    def named(self, name: str, pool: str = "") -> ServedModel:
        """Return the model that a request means by this name; that of `pool`, where its queue had the request.

        Raises UnknownModel, which tells all that are served. Hosts may call the model of one pool by different names.
        """
        model = next((each for each in self._models if each.pool == pool), None) or self._by_name.get(name)
        if model is None:
            served = ", ".join(repr(self._told(model)) for model in self._models)
            raise UnknownModel(f"model: {name!r} is not served here; this worker serves {served}")
        return model

    def slowest_s(self, work: Work) -> float:
        """Return the predicted seconds of work whose model is not known: those of the slowest model."""
        return max(model.run_cost.cost.predict_s(work) for model in self._models)

    def names_of(self, model: ServedModel) -> frozenset[str]:
        """Return the names that mean this model."""
        return frozenset(name for name, named in self._by_name.items() if named is model)

    def _told(self, model: ServedModel) -> str:
        own = model.identity.model
        return own if self._by_name[own] is model else model.alias
