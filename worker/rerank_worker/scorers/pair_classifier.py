"""Pair classifier: the scorer of cross-encoders. Query and document are one sequence of token ids, with one logit."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from rerank_shared.contract.messages import ScoringIdentity
from rerank_shared.contract.token_ids import Content
from rerank_shared.models.catalogue import ModelFiles
from rerank_shared.models.cpu import cpu_name
from rerank_shared.models.exported import check_template
from rerank_shared.profile import differences
from rerank_shared.scheduling.runs import RunShape
from rerank_shared.settings import Settings, profile_of
from rerank_worker.engine import (
    Engine,
    PackedWeights,
    PreparedKernel,
    identity_of,
    joins_runs,
    kernel_for,
    model_precision,
    open_engine,
    providers_for,
    run_precision,
    runs_at_once,
    starter,
)
from rerank_worker.fleet_precision import served_precision
from rerank_worker.scorers.scorer import Floats, Scorer
from rerank_worker.tokenizing import EncodedPair, PairTokenizer

log = logging.getLogger(__name__)


class PairClassifier:
    """Scores pairs by one engine. It holds no thread and no connection on a CPU, so a process with it may fork."""

    def __init__(self, tokenizer: PairTokenizer, engine: Engine, work: RunShape, identity: ScoringIdentity) -> None:
        self.tokenizer = tokenizer
        self.work = work
        self.identity = identity
        self.runs_at_once = runs_at_once(engine)
        self.joins_runs = joins_runs(engine)
        self._engine = engine
        self._start = starter(engine)

    def encode(self, query: str, documents: Sequence[Content], max_length: int) -> list[EncodedPair]:
        """Return the pairs, as `PairTokenizer.encode`."""
        return self.tokenizer.encode(query, documents, max_length)

    def runs(self, pairs: Sequence[EncodedPair]) -> list[range]:
        """Return the engine's runs."""
        return self._engine.runs(pairs)

    def start(self, pairs: Sequence[EncodedPair]) -> Callable[[], Floats]:
        """Begin a run; on an engine that computes in the calling thread it begins when awaited."""
        return self._start(pairs)

    def score(self, pairs: Sequence[EncodedPair]) -> Floats:
        """Return the logit of each pair, shape [pairs]; raises the engine's errors."""
        return self._engine.score(pairs)


def open_pair_classifier(
    files: ModelFiles, settings: Settings, max_length: int | None = None, beside: Iterable[Scorer[Any]] = ()
) -> PairClassifier:
    """Open a cross-encoder; `max_length` (tokens) lowers the model's own.

    `beside` are the scorers of the process: one with the same tokenizer shares it, with its cache of tokens. Raises
    ConfigurationError, ModelDamaged and the like where model, settings and this machine do not fit.
    """
    tokenizer = _tokenizer_of(files, settings, beside)
    check_template(files.manifest, str(tokenizer.template), unsafe=settings.unsafe)
    providers = providers_for(settings, model_precision(files))
    packed = PackedWeights.of(settings, files.model_digest)
    kernel = kernel_for(settings, files, providers, packed, served_precision(settings, files))
    _tell_profile(files, settings, kernel)
    shape = RunShape.of(settings)
    engine = open_engine(files, shape, settings.threads, packed, providers, kernel)
    return PairClassifier(tokenizer, engine, shape, identity_of(files, tokenizer, settings.layout, max_length, kernel))


def _tokenizer_of(files: ModelFiles, settings: Settings, beside: Iterable[Scorer[Any]]) -> PairTokenizer:
    """Return the tokenizer of a model. Models with the same file and the same prompt before a query have one."""
    for other in beside:
        if (
            isinstance(other, PairClassifier)
            and other.identity.tokenizer_digest == files.tokenizer_digest
            and other.tokenizer.template.prompt == files.prompt
        ):
            return other.tokenizer
    return PairTokenizer.of(files, settings.token_cache_mb * 1_000_000)


def _tell_profile(files: ModelFiles, settings: Settings, kernel: PreparedKernel | None) -> None:
    """Log where the profile of the settings was made for another model, machine or precision."""
    if (profile := profile_of(settings)) is None:
        return
    precision = run_precision(files, kernel)
    for told in differences(profile, model_digest=files.model_digest, cpu=cpu_name(), precision=precision):
        log.warning("profile does not fit: %s; run `%s` here", told, profile.made_by)
