"""Options of the commands that say how first-stage scores count, under a heading of their own in `--help`."""

from __future__ import annotations

from typing import Annotated

import typer

from rerank_shared import keys

_PANEL = "First-stage scores"


Method = Annotated[
    keys.FusionMethod | None,
    typer.Option(
        "--fusion",
        metavar="METHOD",
        rich_help_panel=_PANEL,
        help="How candidates' scores count: weighted, zscore, rrf or none. Unset: RERANK_FUSION.",
    ),
]
Weight = Annotated[
    float | None,
    typer.Option(
        "--fusion-weight",
        metavar="WEIGHT",
        min=0,
        rich_help_panel=_PANEL,
        help="How much they count; 1: as much as the model. Unset: RERANK_FUSION_WEIGHT.",
    ),
]
Ratio = Annotated[
    float | None,
    typer.Option(
        "--fusion-ratio",
        metavar="RATIO",
        rich_help_panel=_PANEL,
        help="Fixes the factor to the scale of logits that weighted otherwise learns.",
    ),
]
FirstStage = Annotated[
    str | None,
    typer.Option(
        "--first-stage",
        metavar="NAME",
        rich_help_panel=_PANEL,
        help="Name under which weighted learns, such as bm25.",
    ),
]
FirstStageOrder = Annotated[
    keys.FirstStageOrder | None,
    typer.Option(
        "--first-stage-order",
        metavar="ORDER",
        rich_help_panel=_PANEL,
        help="ascending where smaller scores are better, as distances are; else descending.",
    ),
]
