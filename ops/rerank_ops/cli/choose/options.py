"""Options of `rerank-fleet choose`, under headings of their own in `--help`; those of the data are `evaluate`'s."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rerank_shared.contract.schemas import MIN_LENGTH

_TARGET, _COMPARED, _OUTPUT = "Target", "What is compared", "Output"

P95 = Annotated[
    float,
    typer.Option(
        "--p95-ms", metavar="MS", min=1.0, rich_help_panel=_TARGET, help="Latency that 95 of 100 requests must keep."
    ),
]
Processes = Annotated[
    int | None,
    typer.Option(
        "--processes", "-p", metavar="N", min=1, rich_help_panel=_TARGET,
        help="Worker processes of the fleet asked about. Unset: as many as are timed.",
    ),
]  # fmt: skip
Rate = Annotated[
    float | None,
    typer.Option(
        "--rate", metavar="R", min=0.001, rich_help_panel=_TARGET,
        help="Requests a second, under which the latency is simulated. Unset: one at a time.",
    ),
]  # fmt: skip
Margin = Annotated[
    float,
    typer.Option(
        "--margin", metavar="LOSS", min=0.0, max=1.0, rich_help_panel=_TARGET,
        help="Loss in the measure that counts as none: of all that are shown to lose less, the cheapest is picked.",
    ),
]  # fmt: skip
Measure = Annotated[
    str,
    typer.Option(
        "--measure", "-m", metavar="NAME", rich_help_panel=_TARGET, help="What decides, as ir-measures spells it."
    ),
]
MaxLengths = Annotated[
    list[int] | None,
    typer.Option(
        "--max-length", metavar="TOKENS", min=MIN_LENGTH, rich_help_panel=_COMPARED,
        help="Cut pairs to this length. Repeatable. Unset: 128, 256 and 512, as far as the model reads.",
    ),
]  # fmt: skip
K = Annotated[
    int,
    typer.Option(
        "--k", metavar="N", min=1, rich_help_panel=_COMPARED, help="The most candidates of a query: those are scored."
    ),
]
KGrid = Annotated[
    list[int] | None,
    typer.Option(
        "--k-grid", metavar="N", min=1, rich_help_panel=_COMPARED,
        help="A smaller k to compare; it takes no model time. Repeatable. Unset: 10, 20, 30, 50, 75 and so on.",
    ),
]  # fmt: skip
Weights = Annotated[
    list[float] | None,
    typer.Option(
        "--fusion-weight", metavar="WEIGHT", min=0, rich_help_panel=_COMPARED,
        help="Weight of the first stage; 0: the model alone. Repeatable; it takes no model time. Unset: 0, 0.5, 1, 2.",
    ),
]  # fmt: skip
Timed = Annotated[
    int,
    typer.Option(
        "--timed", metavar="N", min=1, rich_help_panel=_COMPARED,
        help="Queries that are timed at each length and three k, uncached. More make p95 surer.",
    ),
]  # fmt: skip
Chart = Annotated[
    Path | None,
    typer.Option(
        "--chart", metavar="SVG", dir_okay=False, rich_help_panel=_OUTPUT,
        help="Draw the front and the curve by k into a file.",
    ),
]  # fmt: skip
WriteProfile = Annotated[
    Path | None,
    typer.Option(
        "--write-profile", metavar="FILE", dir_okay=False, rich_help_panel=_OUTPUT,
        help="Write what was picked as a profile, for RERANK_PROFILE of workers, clients and gateway.",
    ),
]  # fmt: skip
