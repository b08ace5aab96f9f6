"""Registry: the scorer of each kind of model, by the head in its manifest. A further kind is one more line here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from rerank_shared.models.catalogue import ModelFiles
from rerank_shared.models.heads import SEQUENCE_CLASSIFICATION, HeadName
from rerank_shared.settings import Settings
from rerank_worker.scorers.pair_classifier import open_pair_classifier
from rerank_worker.scorers.scorer import Scorer

OpenScorer = Callable[[ModelFiles, Settings, int | None, Iterable[Scorer[Any]]], Scorer[Any]]
SCORERS: Mapping[HeadName, OpenScorer] = {SEQUENCE_CLASSIFICATION: open_pair_classifier}


def open_scorer(
    files: ModelFiles, settings: Settings, max_length: int | None = None, beside: Iterable[Scorer[Any]] = ()
) -> Scorer[Any]:
    """Open the scorer of a model; `max_length` (tokens) lowers the model's own.

    `beside` are the scorers of the process: what is the same is shared with them. Raises ConfigurationError,
    ModelDamaged and the like where model, settings and this machine do not fit.
    """
    return SCORERS[files.head](files, settings, max_length, beside)
