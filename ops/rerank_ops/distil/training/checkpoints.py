"""Checkpoints of a training: all that the next step depends on, in a file that is whole or not there."""

from __future__ import annotations

import io
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from rerank_producer.bulk.files.durable import whole_beside
from rerank_shared.errors import ConfigurationError

_RELEASE = 1


@dataclass(frozen=True, slots=True)
class Check:
    """The student on held-out lists after some steps: correlation with the target, and nDCG@10 where lists are judged.

    `loss` is the mean since the check before; None before the first step.
    """

    step: int
    agreement: float
    ndcg: float | None
    loss: float | None

    @property
    def value(self) -> float:
        """What the best student is chosen by."""
        return self.agreement if self.ndcg is None else (self.agreement + self.ndcg) / 2


@dataclass(slots=True)
class State:
    """A training after `step` steps, and the best student so far. Parameters are by name; `losses` since the check."""

    step: int
    parameters: dict[str, Any]
    optimiser: dict[str, Any]
    best: dict[str, Any]
    checks: list[Check] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0
    random: Any = None


def save_state(path: Path, state: State) -> None:
    """Write a checkpoint. Raises OSError."""
    plain = {name: getattr(state, name) for name in State.__dataclass_fields__}
    plain["checks"] = [asdict(each) for each in state.checks]
    path.parent.mkdir(parents=True, exist_ok=True)
    # Of a file, torch would hide the error of a full disk behind one of its own.
    content = io.BytesIO()
    torch.save({"release": _RELEASE, **plain}, content)
    with whole_beside(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def load_state(path: Path) -> State | None:
    """Return a checkpoint; None where there is none. Raises ConfigurationError for one that can't be read."""
    if not path.exists():
        return None
    try:
        plain = torch.load(path, map_location="cpu", weights_only=True)
        if plain.pop("release") != _RELEASE:
            raise ValueError("it is of another release")
        plain["checks"] = [Check(**each) for each in plain["checks"]]
        return State(**plain)
    except Exception as error:
        # Bad zip files, pickles that hold more than tensors, missing fields: no common base.
        raise ConfigurationError(
            f"{path} is no checkpoint that can be read ({type(error).__name__}: {str(error)[:80]}): remove it, and the "
            "training begins anew"
        ) from None
