"""Rounding: the weights of a student that its int8 export rounds, and the steps in which it does so.

Before an export rounds the weights of a layer it divides the input channels that are far larger than the others, and
multiplies their weights (`rerank_ops/export/graph/smoothing.py`). That changes the steps, so a student learns with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from rerank_ops.export.graph.bodies.naming import Names
from rerank_ops.export.graph.calibrate import ChannelRange

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Rounding:
    """Whole numbers of `bits` for `weights`, which are parameters of the base model by name.

    `smoothing` has the factors [in] of layers, by the names that `names` gives them in an export.
    """

    bits: int
    weights: tuple[str, ...]
    names: Names
    smoothing: Mapping[str, Floats] = field(default_factory=dict)

    def rounded(self, name: str, weight: Any) -> Any:
        """Return a weight [out, in] as the export's whole numbers stand for it; one that is not rounded unchanged."""
        if name not in self.weights:
            return weight
        factors = self.smoothing.get(self.layer(name))
        if factors is None:
            return rounded_weight(weight, self.bits)
        divided = torch.from_numpy(factors).to(weight.device)
        return rounded_weight(weight * divided, self.bits) / divided

    def straight_through(self, name: str, weight: Any) -> Any:
        """Return the rounded weight, through which gradients reach the weight itself."""
        return weight + (self.rounded(name, weight) - weight).detach()

    def layer(self, name: str) -> str:
        """Return the export's name of the layer that has a weight: query, key and value are one there."""
        module = f"{self.names.prefix}{name.removesuffix('.weight')}"
        for part in (self.names.query, self.names.key, self.names.value):
            if module.endswith(f".{part}"):
                return f"{module.removesuffix(part)}attention.qkv"
        return module


def rounded_weight(weight: Any, bits: int) -> Any:
    """Return a linear layer's weight [out, in] in steps for each output, as `quantise_weight` makes them."""
    largest = 2 ** (bits - 1) - 1
    scale = weight.abs().amax(dim=1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny) / largest
    return (weight / scale).round() * scale


@contextmanager
def watched(base: Any, rounding: Rounding, tokens: Callable[[], Any]) -> Iterator[dict[str, ChannelRange]]:
    """Collect the ranges of the inputs of all rounded layers while the base model runs, by the export's names.

    `tokens` returns which of a batch's tokens are no padding, [pairs, tokens].
    """
    ranges: dict[str, ChannelRange] = {}

    def watch(layer: str) -> Callable[[Any, tuple[Any, ...]], None]:
        def see(_: Any, inputs: tuple[Any, ...]) -> None:
            rows = inputs[0][tokens()].float()
            seen = ChannelRange(rows.amin(dim=0).cpu().numpy(), rows.amax(dim=0).cpu().numpy())
            ranges[layer] = ranges[layer].joined(seen) if layer in ranges else seen

        return see

    hooks = [
        base.get_submodule(name.removesuffix(".weight")).register_forward_pre_hook(watch(rounding.layer(name)))
        for name in rounding.weights
    ]
    try:
        yield ranges
    finally:
        for hook in hooks:
            hook.remove()
