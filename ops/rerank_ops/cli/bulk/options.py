"""Options of a bulk run, under headings of their own in `--help`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

_INPUT, _OUTPUT, _ROWS, _RUN = "Input", "Output", "Rows that fail", "The run"


class OnError(StrEnum):
    """What becomes of a row that fails."""

    QUARANTINE = "quarantine"
    SKIP = "skip"
    FAIL = "fail"


Input = Annotated[str, typer.Argument(metavar="INPUT", help="File, directory of a collection, or - for stdin.")]
Output = Annotated[str, typer.Argument(metavar="OUTPUT", help="File to write, or - for stdout.")]
FormatName = Annotated[
    str | None,
    typer.Option(
        "--format",
        "-f",
        metavar="NAME",
        rich_help_panel=_INPUT,
        help="jsonl, requests, batch, trec, msmarco, beir or parquet. Unset: by name and first line.",
    ),
]
Queries = Annotated[
    Path | None,
    typer.Option("--queries", metavar="FILE", rich_help_panel=_INPUT, help="Queries by id: TSV, JSONL or Parquet."),
]
Corpus = Annotated[
    Path | None,
    typer.Option("--corpus", metavar="FILE", rich_help_panel=_INPUT, help="Documents by id: TSV, JSONL or Parquet."),
]
RunFile = Annotated[
    Path | None,
    typer.Option(
        "--run", metavar="FILE", rich_help_panel=_INPUT, help="Candidates of a collection. Unset: BM25 finds them."
    ),
]
Depth = Annotated[
    int | None,
    typer.Option(
        "--depth",
        metavar="N",
        min=1,
        rich_help_panel=_INPUT,
        help="Rerank the first N candidates of each query; the others stay below. Unset: all; 100 of BM25.",
    ),
]
IndexDirectory = Annotated[
    Path | None,
    typer.Option(
        "--index",
        metavar="DIR",
        file_okay=False,
        rich_help_panel=_INPUT,
        help="Directory of looked-up corpora. Unset: the user's cache directory.",
    ),
]
Columns = Annotated[
    list[str] | None,
    typer.Option(
        "--column", metavar="NAME=COLUMN", rich_help_panel=_INPUT, help="Column of a Parquet file, as query=question."
    ),
]
LimitQueries = Annotated[
    int | None,
    typer.Option("--limit-queries", metavar="N", min=1, rich_help_panel=_INPUT, help="Ask the first N queries only."),
]
ScoreOnly = Annotated[
    bool,
    typer.Option("--score-only", rich_help_panel=_OUTPUT, help="Write scores, and nothing that the input has."),
]
Tag = Annotated[
    str | None,
    typer.Option("--tag", metavar="NAME", rich_help_panel=_OUTPUT, help="Last column of a run. Unset: rerank-fleet."),
]
KeepTies = Annotated[
    bool,
    typer.Option(
        "--keep-ties",
        rich_help_panel=_OUTPUT,
        help="Leave equal scores equal in a run; evaluators then order them by document id.",
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", rich_help_panel=_OUTPUT, help="Begin anew, whatever was written before.")
]
Metadata = Annotated[
    bool,
    typer.Option("--metadata", rich_help_panel=_OUTPUT, help="Write OUTPUT.ir-metadata.yml: model, hardware, effort."),
]
QrelsOption = Annotated[
    Path | None,
    typer.Option(
        "--qrels",
        metavar="FILE",
        exists=True,
        dir_okay=False,
        rich_help_panel=_OUTPUT,
        help="Judgements (TREC or BEIR): print the quality before and after.",
    ),
]
OnErrorOption = Annotated[
    OnError,
    typer.Option(
        "--on-error",
        rich_help_panel=_ROWS,
        help="quarantine: set it aside in --errors; skip: leave it out; fail: end the run.",
    ),
]
Errors = Annotated[
    Path | None,
    typer.Option(
        "--errors",
        metavar="FILE",
        dir_okay=False,
        rich_help_panel=_ROWS,
        help="File of rows that failed. Unset: OUTPUT.failed.jsonl.",
    ),
]
MaxErrors = Annotated[
    int | None,
    typer.Option("--max-errors", metavar="N", min=0, rich_help_panel=_ROWS, help="End when more than N rows failed."),
]
RetryFailed = Annotated[
    bool, typer.Option("--retry-failed", rich_help_panel=_ROWS, help="Ask the failed rows of a complete run again.")
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", rich_help_panel=_RUN, help="Check all rows, count tokens, predict the time; score none."),
]
NoCache = Annotated[
    bool,
    typer.Option("--no-cache", rich_help_panel=_RUN, help="Take no score from the cache, and leave none for others."),
]
MostRequests = Annotated[
    int | None,
    typer.Option(
        "--window",
        metavar="N",
        min=1,
        rich_help_panel=_RUN,
        help="Requests in flight at most. Unset: by the fleet's measured speed.",
    ),
]
ChunkBytes = Annotated[
    int | None,
    typer.Option(
        "--chunk-bytes",
        metavar="N",
        min=1,
        rich_help_panel=_RUN,
        help="Bytes of INPUT that are committed at once: what a kill costs at most. Unset: some thousand pairs.",
    ),
]
GiveUpAfter = Annotated[
    float | None,
    typer.Option(
        "--give-up-after",
        metavar="SECONDS",
        min=0,
        rich_help_panel=_RUN,
        help="End when the fleet answers nothing for so long. Unset: wait for it.",
    ),
]
AsJsonSummary = Annotated[bool, typer.Option("--json", rich_help_panel=_RUN, help="Print the summary as JSON.")]
