"""Loading: finds, checks, opens and warms a model of a process. No thread and no connection stays open after it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from rerank_shared.contract.digest import identity_digest
from rerank_shared.contract.messages import ScoringIdentity, name_of
from rerank_shared.errors import ConfigurationError
from rerank_shared.models.catalogue import ModelFiles, configured_files
from rerank_shared.models.cpu import cpu_name, host_features
from rerank_shared.models.exported import check_here
from rerank_shared.profile import differences
from rerank_shared.scheduling.runs import RunShape
from rerank_shared.settings import Settings, profile_of
from rerank_shared.settings.fleet_file import entry_of
from rerank_worker.batching.run_cost import RunCost
from rerank_worker.engine import (
    Engine,
    PackedWeights,
    identity_of,
    kernel_for,
    model_precision,
    open_engine,
    providers_for,
    run_precision,
)
from rerank_worker.fleet_precision import served_precision
from rerank_worker.model_memory import room_for_models
from rerank_worker.tokenizing import PairTokenizer
from rerank_worker.warmup import warm_up

log = logging.getLogger(__name__)


#: Tokenizers by the digest of their file and the prompt that they put before a query.
Tokenizers = dict[tuple[str, str], PairTokenizer]


@dataclass(frozen=True, slots=True)
class Model:
    """A loaded and warm model. It holds no thread and no connection, so a process with it may fork.

    `alias`: what the settings call it. An exported model has the name of its original; clients with the same settings
    ask by the name that stands there. `aliases` are further names. `weights_bytes`: the size of its files of weights.
    `share`: its weight when the models of a process share tokens. `source`: where it was loaded from.
    """

    tokenizer: PairTokenizer
    engine: Engine
    identity: ScoringIdentity
    run_cost: RunCost
    alias: str
    weights_bytes: int = 0
    aliases: tuple[str, ...] = ()
    share: float | None = None
    source: str = ""


def load_all(settings: Settings) -> list[Model]:
    """Load and warm all models that the settings name, in their order. Raises ConfigurationError as `load` does.

    It is raised too where they exceed the memory that the settings allow, and where two of them would give the same
    scores under the same digests: such a pair has one lane.
    """
    tokenizers: Tokenizers = {}
    models: list[Model] = []

    def fits(files: ModelFiles) -> None:
        if settings.model_memory_mb is not None:
            refuse_beyond_memory(files, settings, sum(model.weights_bytes for model in models))

    for name in settings.served_models:
        models.append(load(settings.model_copy(update={"model": name}), tokenizers, fits))
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
    tokenizers: Tokenizers | None = None,
    found: Callable[[ModelFiles], None] = lambda files: None,
) -> Model:
    """Load and warm `settings.model`. Raises ConfigurationError (ModelUnavailable, ModelDamaged and the like).

    `tokenizers` are those of the models before it: one that is the same is shared, with its cache of tokens. `found`
    gets the checked files before they are opened, and may raise too.
    """
    entry = entry_of(settings.model, settings)
    files = configured_files(settings)
    if entry.precision not in (None, model_precision(files)):
        raise ConfigurationError(
            f"{entry.name}: precision {entry.precision} expected, and {files.source} has {model_precision(files)}"
        )
    found(files)
    tokenizer = _tokenizer_of(files, settings, {} if tokenizers is None else tokenizers)
    providers = providers_for(settings, model_precision(files))
    check_here(files.manifest, str(tokenizer.template), host_features(), providers.names, unsafe=settings.unsafe)
    packed = PackedWeights.of(settings, files.model_digest)
    kernel = kernel_for(settings, files, providers, packed, served_precision(settings, files))
    if (profile := profile_of(settings)) is not None:
        precision = run_precision(files, kernel)
        for told in differences(profile, model_digest=files.model_digest, cpu=cpu_name(), precision=precision):
            log.warning("profile does not fit: %s; run `%s` here", told, profile.made_by)
    engine = open_engine(files, RunShape.of(settings), settings.threads, packed, providers, kernel)
    identity = identity_of(files, tokenizer, settings.layout, entry.max_length or settings.max_length, kernel)
    if identity.max_length > settings.budget_tokens:
        raise ConfigurationError(
            f"RERANK_BUDGET_TOKENS ({settings.budget_tokens}) is below the {identity.max_length} tokens that a pair of "
            f"{identity.model} may have: raise it"
        )
    run_cost = RunCost(RunShape.of(settings))
    together = settings.layout != "unpadded"
    warm_up(engine, tokenizer, run_cost, identity.max_length, settings.budget_tokens, together=together)
    size = weights_bytes(files)
    return Model(
        tokenizer, engine, identity, run_cost, entry.name, size, entry.aliases, entry.share, source=entry.source
    )


def _tokenizer_of(files: ModelFiles, settings: Settings, known: Tokenizers) -> PairTokenizer:
    key = (files.tokenizer_digest, files.prompt)
    if key not in known:
        known[key] = PairTokenizer.of(files, settings.token_cache_mb * 1_000_000)
    return known[key]
