"""Names of precisions and run plans, and what each pair of them promises about a score.

A score's cache key holds the name that `score_precision` gives, so that scores which may differ never meet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

PrecisionName = Literal["fp32", "int8", "int8-static", "fp16", "bf16"]
PlanName = Literal["single", "buckets", "ragged", "packs"]
PRECISIONS: tuple[PrecisionName, ...] = get_args(PrecisionName)
PLANS: tuple[PlanName, ...] = get_args(PlanName)


@dataclass(frozen=True, slots=True)
class Precision:
    """What one precision is. `invariant_plans`: those in which a pair's score is the same bits in any company."""

    name: PrecisionName
    summary: str
    devices: tuple[Literal["cpu", "cuda"], ...]
    invariant_plans: tuple[PlanName, ...]


PRECISION: dict[PrecisionName, Precision] = {
    precision.name: precision
    for precision in (
        Precision("fp32", "32-bit floats throughout", ("cpu", "cuda"), ("single",)),
        Precision(
            "int8",
            "8-bit linear layers, weights by channel; the scale of activations is taken from each run, so a score "
            "depends on its pair alone only where a run holds one pair",
            ("cpu",),
            ("single",),
        ),
        Precision(
            "int8-static",
            "8-bit linear layers with activation scales fixed at export, for runs of many pairs",
            ("cpu",),
            ("single",),
        ),
        # No GPU has been asked yet whether it gives the same bits in any company.
        Precision("fp16", "16-bit floats (GPU)", ("cuda",), ()),
        Precision("bf16", "16-bit floats with the range of 32-bit ones (GPU)", ("cuda",), ()),
    )
}


def score_precision(precision: PrecisionName, plan: PlanName) -> str:
    """Return the name under which scores of a precision are cached: with the plan where company changes a score."""
    return precision if plan in PRECISION[precision].invariant_plans else f"{precision}-{plan}"
