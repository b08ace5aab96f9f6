"""What the headline is to reach, by each kind of kernel and without one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rerank_dev.bench.engine.lineup.contenders import BY_OPERATORS
from rerank_worker.engine.kernels.choice import AVX2


@dataclass(frozen=True, slots=True)
class Targets:
    """How many times as fast as a contender, by its name, and which share of the int8 floor; None: no target."""

    ahead: Mapping[str, float] = field(default_factory=dict)
    floor_share: float | None = None


@dataclass(frozen=True, slots=True)
class Goals:
    """The targets of a model by a kernel for VNNI, by the one for AVX2, and where no kernel runs."""

    vnni: Targets
    avx2: Targets
    operators: Targets

    def here(self, kernel: str | None) -> Targets:
        """Return the targets on a machine with this kernel."""
        if kernel is None:
            return self.operators
        return self.avx2 if kernel == AVX2 else self.vnni


_FAR = {"flashrank": 4.5, "st-torch": 6.0, "st-torch-best": 3.5}
MINILM = Goals(
    Targets({BY_OPERATORS: 1.55, "plain-int8": 2.1, "openvino-int8": 2.2, **_FAR}, 0.75),
    # A kernel that is slower than the operators would be no use.
    Targets({BY_OPERATORS: 1.0, "plain-int8": 1.4, "openvino-int8": 1.0, **_FAR}, 0.6),
    Targets({"plain-int8": 1.4, "openvino-int8": 1.0, **_FAR}, 0.6),
)
#: Wide layers spend more of their time in products, which ONNX Runtime's operators run well.
WIDE = Goals(Targets({BY_OPERATORS: 1.3}), Targets({BY_OPERATORS: 1.0}), Targets())
