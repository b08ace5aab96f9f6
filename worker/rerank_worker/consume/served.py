"""The models that a process answers for, by the names that requests use. They may change while it runs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from rerank_shared.contract.digest import pool_id
from rerank_shared.contract.messages import ScoringIdentity
from rerank_shared.errors import ConfigurationError, UnknownModel
from rerank_shared.scheduling.cost import Work
from rerank_worker.batching.lane import Lane
from rerank_worker.batching.run_cost import RunCost
from rerank_worker.scorers import Scorer


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model with its lane in the scoring thread.

    `alias`: a second name by which requests may ask for it; `aliases`: further ones. `weights_bytes`: the size of its
    files of weights. `source`: where it was loaded from.
    """

    lane: Lane
    alias: str
    weights_bytes: int = 0
    aliases: tuple[str, ...] = ()
    source: str = ""

    @property
    def scorer(self) -> Scorer[Any]:
        """What encodes and scores its pairs."""
        return self.lane.scorer

    @property
    def identity(self) -> ScoringIdentity:
        """Its scoring identity."""
        return self.lane.scorer.identity

    @property
    def pool(self) -> str:
        """The id of its pool."""
        return pool_id(self.identity)

    @property
    def run_cost(self) -> RunCost:
        """The cost of its runs."""
        return self.lane.run_cost


@dataclass(frozen=True, slots=True)
class _Now:
    """The models of one moment."""

    models: tuple[ServedModel, ...]
    by_name: Mapping[str, ServedModel]

    @classmethod
    def of(cls, models: Iterable[ServedModel]) -> Self:
        found = tuple(models)
        by_name = {name: model for model in found for name in (model.alias, *model.aliases)}
        for model in found:
            by_name.setdefault(model.identity.model, model)
        named = {id(model) for model in by_name.values()}
        if (lost := next((model for model in found if id(model) not in named), None)) is not None:
            raise ConfigurationError(
                f"{lost.alias} would have no name left: each of its names is one of another model. Give it another one"
            )
        return cls(found, by_name)


class ServedModels:
    """All models of a process, the default one first. Any thread may read them; one at a time changes them.

    An alias means its own model. A name that several models have means the first of them, as two exports of one
    original have. Raises ConfigurationError where a model would have no name left.
    """

    def __init__(self, models: Sequence[ServedModel]) -> None:
        # Replaced as a whole, so that readers need no lock.
        self._now = _Now.of(models)

    def __iter__(self) -> Iterator[ServedModel]:
        return iter(self._now.models)

    def __len__(self) -> int:
        return len(self._now.models)

    def add(self, model: ServedModel) -> None:
        """Serve a further model, the last of all."""
        self._now = _Now.of((*self._now.models, model))

    def remove(self, model: ServedModel) -> None:
        """Serve a model no longer. One must be left."""
        self._now = _Now.of(each for each in self._now.models if each is not model)

    @property
    def default(self) -> ServedModel:
        """The first model."""
        return self._now.models[0]

    @property
    def pools(self) -> tuple[str, ...]:
        """The ids of the pools whose jobs this process takes."""
        return tuple(dict.fromkeys(model.pool for model in self._now.models))

    def weights(self) -> Mapping[str, float | None]:
        """Return the weight of each pool, None without one."""
        return {model.pool: model.lane.batcher.weight for model in self._now.models}

    @property
    def names(self) -> Collection[str]:
        """All names that mean a model of this process."""
        return self._now.by_name.keys()

    def named(self, name: str, pool: str = "") -> ServedModel:
        """Return the model that a request means by this name; that of `pool`, where its queue had the request.

        Raises UnknownModel, which tells all that are served. Hosts may call the model of one pool by different names.
        """
        now = self._now
        model = next((each for each in now.models if each.pool == pool), None) or now.by_name.get(name)
        if model is None:
            served = ", ".join(repr(_told(each, now)) for each in now.models)
            raise UnknownModel(f"model: {name!r} is not served here; this worker serves {served}")
        return model

    def slowest_s(self, work: Work) -> float:
        """Return the predicted seconds of work whose model is not known: those of the slowest model."""
        return max(model.run_cost.cost.predict_s(work) for model in self._now.models)

    def names_of(self, model: ServedModel) -> frozenset[str]:
        """Return the names that mean this model."""
        return frozenset(name for name, named in self._now.by_name.items() if named is model)

    def called(self, model: ServedModel) -> str:
        """Return a name that means this model and no other: its own, unless that means another one."""
        return _told(model, self._now)


def _told(model: ServedModel, now: _Now) -> str:
    own = model.identity.model
    return own if now.by_name.get(own) is model else model.alias
