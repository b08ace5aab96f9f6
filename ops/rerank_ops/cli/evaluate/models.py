"""Scores of each model that is evaluated: read where they were saved, else made by a fleet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rerank_ops.cli.bar import progress
from rerank_ops.cli.console import err
from rerank_ops.cli.evaluate.fleets import Reached, fleet_of
from rerank_ops.evaluate.dataset import Source
from rerank_ops.evaluate.prepared import Prepared
from rerank_ops.evaluate.saved import fingerprint_of, save_scores, saved_scores
from rerank_ops.evaluate.scoring import ModelScores, scored
from rerank_ops.quality.collection import drawn
from rerank_ops.signals import run_stoppable
from rerank_producer import AsyncRerankClient
from rerank_shared.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Scoring:
    """Makes scores of models on prepared data: `timed` queries are asked again, `saved` is where scores are kept."""

    source: Source
    ready: Prepared
    max_length: int | None
    timed: int
    saved: Path | None
    reuse: bool
    url: str | None
    up: bool

    def scores(self, models: Sequence[str]) -> list[ModelScores]:
        """Return the scores of models by name or directory.

        Raises as the client and `fleet_of` do; RunDiffers for saved scores of other data.
        """
        return [self._of(model, name) for model, name in zip(models, row_names(models), strict=True)]

    def _of(self, model: str, name: str) -> ModelScores:
        fingerprint = self._fingerprint(model)
        if self.saved is not None and self.reuse and (found := saved_scores(self.saved, name, fingerprint)) is not None:
            err.print(f"note: the scores of {name} are read from {self.saved}", style="yellow")
            return found
        with fleet_of(model, self.url, up=self.up) as reached:
            found = run_stoppable(self._asked(reached, name))
        if self.saved is not None:
            save_scores(self.saved, found, fingerprint)
        return found

    def _fingerprint(self, model: str) -> Mapping[str, Any]:
        return fingerprint_of(
            self.source.identity(),
            self.ready.labelled,
            self.ready.stage,
            model=model,
            max_length=self.max_length,
            timed=self.timed,
        )

    async def _asked(self, reached: Reached, name: str) -> ModelScores:
        options = {} if self.max_length is None else {"max_length": self.max_length}
        timed = drawn(self.ready.labelled.queries, self.timed)
        with progress(len(self.ready.labelled.queries) + len(timed)) as advance:
            async with AsyncRerankClient(reached.settings) as client:
                return await scored(
                    client,
                    name,
                    self.ready.candidates,
                    timed,
                    options=options,
                    tell=advance,
                    processes=reached.processes,
                )


def row_names(models: Sequence[str]) -> list[str]:
    """Return what rows of models are called: the last part of each name. Raises ConfigurationError for one twice."""
    names = [Path(model.rstrip("/")).name.partition("@")[0] for model in models]
    for name in names:
        if names.count(name) > 1:
            raise ConfigurationError(f"two models would be called {name!r} in the table: rename a directory")
    return names
