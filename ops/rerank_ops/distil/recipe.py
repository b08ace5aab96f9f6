"""Recipe of a student: every number that its weights depend on, beside the data. Pure.

The defaults are those that were measured: docs/distil.md has the figures.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from rerank_ops.distil.material import digest_of

Loss = Literal["margin-mse", "mse"]
#: Up to so many layers, weights have far to go from where the teacher had them.
_SHALLOW = 4
_LEARNING_RATE_SHALLOW, _LEARNING_RATE_DEEP = 1e-4, 3e-5


@dataclass(frozen=True, slots=True)
class Recipe:
    """Settings of the training. `max_length` is in tokens; `beta_weight` 0 leaves the first stage out of the target.

    `label_weight` is that of a listwise cross entropy on judged lists, beside `loss`. There are `checks` of a student;
    its training ends when `patience` of them in a row were no better.
    """

    layers: int = 3
    loss: Loss = "margin-mse"
    label_weight: float = 0.0
    beta_weight: float = 1.0
    max_length: int = 128
    epochs: int = 1
    learning_rate: float = _LEARNING_RATE_SHALLOW
    lists_a_step: int = 2
    warm_up: float = 0.05
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.98)
    clip: float = 1.0
    checks: int = 10
    patience: int = 4
    seed: int = 0

    def steps_of(self, lists: int) -> int:
        """Return the steps that all epochs over some lists take; the last one may have fewer lists."""
        return max(1, -(-self.epochs * lists // self.lists_a_step))

    def check_every(self, steps: int) -> int:
        """Return after how many steps the student is checked on held-out lists."""
        return max(1, steps // self.checks)

    def rate_at(self, step: int, steps: int) -> float:
        """Return the share of the learning rate at a step from 0: rising, then falling to 0 behind the last one."""
        rising = max(1, int(self.warm_up * steps))
        if step < rising:
            return (step + 1) / rising
        return max(0.0, (steps - step) / max(1, steps - rising))


def learning_rate_for(layers: int) -> float:
    """Return the learning rate that suits a number of layers."""
    return _LEARNING_RATE_SHALLOW if layers <= _SHALLOW else _LEARNING_RATE_DEEP


def as_plain(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe ready for JSON."""
    return {**asdict(recipe), "betas": list(recipe.betas)}


def key_of(parts: Mapping[str, Any]) -> str:
    """Return a short name for all that something depends on; equal parts, equal name."""
    return digest_of(json.dumps(parts, sort_keys=True))[:16]
