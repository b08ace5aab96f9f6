"""The figures of a rollout's step: what its two models did under the versions of the route that it made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rerank_producer.routed.figures import Durations, Figures, baseline, durations_beside, read_figures
from rerank_shared.keys import Keys
from rerank_shared.routing.rollout import Record


@dataclass(frozen=True, slots=True)
class StepFigures:
    """The new model's figures of the step in force, and those of the old model that they are compared with."""

    new: Figures
    old: Figures

    @property
    def slowest(self) -> Durations | None:
        """The durations whose ratio is the largest; None while either model has too few."""
        return max(durations_beside(self.old, self.new), key=lambda each: each.ratio, default=None)


def ask_step(pipe: Any, keys: Keys, record: Record) -> None:
    """Queue on a pipeline the commands whose answers `read_step` reads, one a version of the rollout."""
    for version in reversed(record.versions):
        pipe.hgetall(keys.routed(record.route, version))


def read_step(record: Record, answers: Sequence[Mapping[bytes, bytes]]) -> StepFigures:
    """Return the figures from the answers to `ask_step`."""
    old = [read_figures(answer, record.old) for answer in answers]
    return StepFigures(read_figures(answers[0], record.new), baseline(old, record.plan.min_requests))
