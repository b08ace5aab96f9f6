"""What the headline is to reach, with a kernel and without one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rerank_dev.bench.engine.lineup.contenders import BY_OPERATORS


@dataclass(frozen=True, slots=True)
class Targets:
    """How many times as fast as a contender, by its name, and which share of the int8 floor; None: no target."""

    ahead: Mapping[str, float] = field(default_factory=dict)
    floor_share: float | None = None


@dataclass(frozen=True, slots=True)
class Goals:
    """The targets of a model where a kernel runs, and where none does."""

    kernel: Targets
    operators: Targets

    def here(self, kernel: str | None) -> Targets:
        """Return the targets on a machine with this kernel."""
        return self.kernel if kernel else self.operators


_FAR = {"flashrank": 4.5, "st-torch": 6.0, "st-torch-best": 3.5}
MINILM = Goals(
    Targets({BY_OPERATORS: 1.55, "plain-int8": 2.1, "openvino-int8": 2.2, **_FAR}, 0.75),
    Targets({"plain-int8": 1.4, "openvino-int8": 1.0, **_FAR}, 0.6),
)
#: Wide layers spend more of their time in products, which ONNX Runtime's operators run well.
WIDE = Goals(Targets({BY_OPERATORS: 1.3}), Targets())
