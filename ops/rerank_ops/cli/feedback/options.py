"""Options of `rerank-fleet feedback`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

File = Annotated[
    Path | None,
    typer.Argument(metavar="FILE", dir_okay=False, help="Where to write: a name that ends in .parquet or .jsonl."),
]
Beir = Annotated[
    Path | None,
    typer.Option(
        "--beir", metavar="DIR", help="Write a new directory in the layout of BEIR instead; it needs kept texts."
    ),
]
Queries = Annotated[
    Path | None,
    typer.Option(
        "--queries", metavar="FILE", exists=True, dir_okay=False,
        help="Your queries by id (TSV, JSONL, Parquet): a query that is known by its digest gets its id from here.",
    ),
]  # fmt: skip
Tenant = Annotated[str | None, typer.Option("--tenant", metavar="NAME", help="The feedback of this tenant alone.")]
Since = Annotated[
    str | None, typer.Option("--since", metavar="TIME", help="What came from then on: a date or time, of UTC.")
]
Correct = Annotated[
    bool, typer.Option("--correct/--no-correct", help="Weight clicks by how much their ranks are looked at.")
]
Clip = Annotated[
    float,
    typer.Option(
        "--clip", metavar="P", min=0.001, max=1.0, help="Smallest propensity that counts: 0.1 lets one click count 10."
    ),
]
MinImpressions = Annotated[
    int,
    typer.Option(
        "--min-impressions", metavar="N", min=1, help="Leave out documents that were shown less often for a query."
    ),
]
Request = Annotated[str | None, typer.Option("--request", metavar="ID", help="Feedback of this request.")]
QueryId = Annotated[str | None, typer.Option("--query-id", metavar="ID", help="Feedback of this query, by your id.")]
Query = Annotated[str | None, typer.Option("--query", metavar="TEXT", help="Feedback of this query, by its text.")]
Before = Annotated[
    str | None, typer.Option("--before", metavar="TIME", help="Feedback before this date or time, of UTC.")
]
All = Annotated[bool, typer.Option("--all", help="All feedback.")]
