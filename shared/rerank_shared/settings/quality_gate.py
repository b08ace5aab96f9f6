"""Settings of the quality gate of artefacts."""

from __future__ import annotations

from pydantic import Field

from rerank_shared.settings.group import SettingsGroup


class QualityGateSettings(SettingsGroup):
    """Read by `rerank-fleet export`, and by worker processes when they load an artefact."""

    gate_min_ndcg_ratio: float = Field(
        0.99,
        ge=0.0,
        le=1.0,
        description="Quality gate: share of fp32's nDCG@10 that an artefact must keep on each collection it was "
        "measured on. Workers check its report against their own bounds too, so they may be stricter than the export.",
    )
    gate_min_spearman: float = Field(
        0.995,
        ge=-1.0,
        le=1.0,
        description="The same for the rank correlation of its scores with those of fp32 over the frozen pair set.",
    )
    unsafe: bool = Field(
        False,
        description="Serve an artefact although its files differ from its manifest or it failed its quality "
        "gate. For trying one out; each start says so in the log.",
    )
