"""Prediction of a distillation: its pairs, time and disk, from short trials, and what fits into a budget. Pure."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rerank_ops.distil.learned import FEWEST_LISTS
from rerank_ops.distil.recipe import Recipe
from rerank_shared.errors import ConfigurationError

#: An export compares and measures each layout on some hundred pairs: that takes so many seconds and training steps.
_EXPORT_STEPS, _EXPORT_S = 60, 25
#: Of the parameters that learn: themselves, two moments, the best ones, and a new file while the old one is there.
_COPIES_IN_CHECKPOINTS = 8
#: Graphs of all layouts, in int8 and in the fp32 form that they are compared with, and the copy in its place.
_COPIES_IN_EXPORT = 4
_LABEL_BYTES_A_PAIR = 24


@dataclass(frozen=True, slots=True)
class Speeds:
    """What trials measured here: `label_s` seconds a pair by the fleet, to label and to measure.

    `step_s` seconds a training step; `weights_bytes` and `trained_bytes` of the student, all of it and what learns.
    """

    label_s: float
    step_s: float
    weights_bytes: int
    trained_bytes: int


@dataclass(frozen=True, slots=True)
class Sizes:
    """Lists and pairs to learn from, held-out pairs, pairs of them all without label, and pairs to measure."""

    lists: int
    pairs: int
    held_out_pairs: int
    unlabelled: int
    measured: int


@dataclass(frozen=True, slots=True)
class Prediction:
    """Seconds of each part, steps, and bytes on the disk."""

    sizes: Sizes
    steps: int
    label_s: float
    train_s: float
    export_s: float
    measure_s: float
    disk_bytes: int

    @property
    def total_s(self) -> float:
        """Seconds of all parts."""
        return self.label_s + self.train_s + self.export_s + self.measure_s


def predicted(sizes: Sizes, speeds: Speeds, recipe: Recipe, layers: int) -> Prediction:
    """Return what a distillation takes.

    `layers` are those of the model that the student begins as. They stand for the teacher's, than which the student
    measures faster.
    """
    steps = recipe.steps_of(sizes.lists)
    # A check has a third of the work of training on the same pairs: no way back.
    pairs_a_step = max(1.0, sizes.pairs / max(1, sizes.lists) * recipe.lists_a_step)
    checks = (recipe.checks + 1) * sizes.held_out_pairs / pairs_a_step / 3
    return Prediction(
        sizes=sizes,
        steps=steps,
        label_s=sizes.unlabelled * speeds.label_s,
        train_s=(steps + checks) * speeds.step_s,
        export_s=_EXPORT_S + _EXPORT_STEPS * speeds.step_s,
        measure_s=sizes.measured * speeds.label_s * (1 + recipe.layers / layers),
        disk_bytes=_COPIES_IN_CHECKPOINTS * speeds.trained_bytes
        + (1 + _COPIES_IN_EXPORT) * speeds.weights_bytes
        + _LABEL_BYTES_A_PAIR * (sizes.pairs + sizes.held_out_pairs + sizes.measured),
    )


def lists_within(budget_s: float, of: Callable[[int], Prediction], most: int) -> int:
    """Return how many lists, `most` at most, can be learned within a budget; `of` predicts for a number of lists.

    Raises ConfigurationError, which names the smallest budget, where it is too little for any student.
    """
    fitting = bisect_right(range(most + 1), budget_s, key=lambda lists: of(lists).total_s) - 1
    if fitting >= FEWEST_LISTS:
        return fitting
    least, whole = (math.ceil(of(lists).total_s / 60) for lists in (FEWEST_LISTS, most))
    raise ConfigurationError(
        f"--max-minutes {budget_s / 60:g}: too little for a student here; {least} minutes are predicted for "
        f"{FEWEST_LISTS} lists, {whole} for all {most:,}"
    )


def told(prediction: Prediction) -> Iterator[tuple[str, str]]:
    """Yield lines of a prediction: what, and how much."""
    sizes = prediction.sizes
    yield "to learn from", f"{sizes.lists:,} lists, {sizes.pairs:,} pairs; {sizes.held_out_pairs:,} pairs held out"
    yield "to label", f"{sizes.unlabelled:,} pairs, {time_text(prediction.label_s)}"
    yield "to train", f"{prediction.steps:,} steps, {time_text(prediction.train_s)}"
    yield "to export", time_text(prediction.export_s)
    yield "to measure", f"{sizes.measured:,} pairs of teacher and student each, {time_text(prediction.measure_s)}"
    yield "in all", time_text(prediction.total_s)
    yield "disk", f"{prediction.disk_bytes / 1e6:,.0f} MB at most"


def time_text(seconds: float) -> str:
    """Return seconds as a rough time."""
    if seconds < 90:
        return f"{math.ceil(seconds)} s"
    return f"{math.ceil(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
