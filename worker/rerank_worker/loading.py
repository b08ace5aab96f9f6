"""Loading: finds, checks, opens and warms a model of a process. No thread and no connection stays open after it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rerank_shared.contract.digest import identity_digest
from rerank_shared.contract.messages import ScoringIdentity, name_of
from rerank_shared.errors import ConfigurationError
from rerank_shared.models.catalogue import ModelFiles, configured_files
from rerank_shared.settings import Settings
from rerank_shared.settings.fleet_file import entry_of
from rerank_worker.batching.run_cost import RunCost
from rerank_worker.engine import model_precision
from rerank_worker.model_memory import room_for_models
from rerank_worker.scorers import Scorer
from rerank_worker.scorers.registry import open_scorer
from rerank_worker.warmup import warm_up


@dataclass(frozen=True, slots=True)
class Model:
    """A loaded and warm model. It holds no thread and no connection, so a process with it may fork.

    `alias`: what the settings call it. An exported model has the name of its original; clients with the same settings
    ask by the name that stands there. `aliases` are further names. `weights_bytes`: the size of its files of weights.
    `share`: its weight when the models of a process share tokens. `source`: where it was loaded from.
    """

    scorer: Scorer[Any]
    run_cost: RunCost
    alias: str
    weights_bytes: int = 0
    aliases: tuple[str, ...] = ()
    share: float | None = None
    source: str = ""

    @property
    def identity(self) -> ScoringIdentity:
        """Its scoring identity."""
        return self.scorer.identity


def load_all(settings: Settings) -> list[Model]:
    """Load and warm all models that the settings name, in their order. Raises ConfigurationError as `load` does.

    It is raised too where they exceed the memory that the settings allow, and where two of them would give the same
    scores under the same digests: such a pair has one lane.
    """
    models: list[Model] = []

    def fits(files: ModelFiles) -> None:
        if settings.model_memory_mb is not None:
            refuse_beyond_memory(files, settings, sum(model.weights_bytes for model in models))

    for name in settings.served_models:
        beside = [model.scorer for model in models]
        models.append(load(settings.model_copy(update={"model": name}), beside, fits))
    first: dict[str, Model] = {}
    for model in models:
        twin = first.setdefault(identity_digest(model.identity), model)
        if twin is not model:
            raise ConfigurationError(f"{twin.alias} and {model.alias} are one model: leave one of them out")
    return models


def refuse_beyond_memory(files: ModelFiles, settings: Settings, used_bytes: int) -> None:
    """Raise ConfigurationError if a model has no room beside others, whose weights have `used_bytes`."""
    if (room := room_for_models(settings.model_memory_mb, used_bytes)) is not None:
        room.refuse(name_of(settings.model), weights_bytes(files))


def weights_bytes(files: ModelFiles) -> int:
    """Return the size of a model's graphs and weights."""
    return sum(path.stat().st_size for path in files.weights)


def load(
    settings: Settings,
    beside: Sequence[Scorer[Any]] = (),
    found: Callable[[ModelFiles], None] = lambda files: None,
) -> Model:
    """Load and warm `settings.model`. Raises ConfigurationError (ModelUnavailable, ModelDamaged and the like).

    `beside` are the scorers of the process: what is the same is shared with them. `found` gets the checked files before
    they are opened, and may raise too.
    """
    entry = entry_of(settings.model, settings)
    files = configured_files(settings)
    if entry.precision not in (None, model_precision(files)):
        raise ConfigurationError(
            f"{entry.name}: precision {entry.precision} expected, and {files.source} has {model_precision(files)}"
        )
    found(files)
    scorer = open_scorer(files, settings, entry.max_length or settings.max_length, beside)
    identity = scorer.identity
    if identity.max_length > settings.budget_tokens:
        raise ConfigurationError(
            f"RERANK_BUDGET_TOKENS ({settings.budget_tokens}) is below the {identity.max_length} tokens that a pair of "
            f"{identity.model} may have: raise it"
        )
    run_cost = RunCost(scorer.work)
    warm_up(scorer, run_cost, settings.budget_tokens)
    return Model(
        scorer, run_cost, entry.name, weights_bytes(files), entry.aliases, share=entry.share, source=entry.source
    )
