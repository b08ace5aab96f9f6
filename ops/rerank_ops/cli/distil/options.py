"""Options of `rerank-fleet distil`, under headings of their own in `--help`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

_DATA, _STUDENT, _TEACHER, _RUN = "Data", "Student", "Teacher and measuring", "Run"


class LossName(StrEnum):
    """The names in `recipe.Loss`, as the enum that typer needs."""

    MARGIN_MSE = "margin-mse"
    MSE = "mse"


class StudentPrecision(StrEnum):
    """Precisions of a student's graphs."""

    INT8 = "int8"
    FP32 = "fp32"


def _file(flag: str, help_text: str, panel: str = _DATA) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(
        flag, metavar="FILE", exists=True, dir_okay=False, rich_help_panel=panel, help=help_text
    )
    return option


Teacher = Annotated[
    str, typer.Argument(metavar="TEACHER", help="Model that the fleet serves, or directory of an export.")
]
Directory = Annotated[
    Path, typer.Argument(metavar="DIR", file_okay=False, help="Directory of the student's artefact, to be made.")
]
Corpus = Annotated[
    Path,
    typer.Option(
        "--corpus", metavar="DIR|FILE", exists=True, rich_help_panel=_DATA,
        help="Documents by id: TSV, JSONL or Parquet, or a directory in the layout of BEIR.",
    ),
]  # fmt: skip
Queries = Annotated[
    Path | None,
    _file(
        "--queries",
        "Real queries by id, or a file of `feedback export`. What they lack to --lists is made up from documents.",
    ),
]
Qrels = Annotated[
    Path | None, _file("--qrels", "Judgements of --queries, as TREC, BEIR or `feedback export` write them.")
]
TestQueries = Annotated[
    Path | None, _file("--test-queries", "Queries that you will measure on: training is kept apart from them.")
]
TestQrels = Annotated[Path | None, _file("--test-qrels", "Judgements of --test-queries: documents to keep apart.")]
FirstStage = Annotated[
    Path | None,
    _file("--first-stage", "TREC run of your first stage over --queries, which are then all. Unset: BM25."),
]
Lists = Annotated[
    int,
    typer.Option("--lists", metavar="N", min=1, rich_help_panel=_DATA, help="Queries to learn from, real ones first."),
]
HeldOut = Annotated[
    int,
    typer.Option("--held-out", metavar="N", min=1, rich_help_panel=_DATA, help="Queries to check on, at most a fifth."),
]
NoPseudo = Annotated[
    bool, typer.Option("--no-pseudo", rich_help_panel=_DATA, help="Make up no queries from documents.")
]
Student = Annotated[
    str | None,
    typer.Option(
        "--student", metavar="MODEL", rich_help_panel=_STUDENT,
        help="Model whose first layers it begins as, named as for `export`. Unset: TEACHER.",
    ),
]  # fmt: skip
Layers = Annotated[int, typer.Option("--layers", metavar="N", min=1, rich_help_panel=_STUDENT, help="Layers to keep.")]
LossOption = Annotated[LossName, typer.Option("--loss", rich_help_panel=_STUDENT, help="What is made small in a list.")]
LabelWeight = Annotated[
    float,
    typer.Option(
        "--label-weight", metavar="WEIGHT", min=0, rich_help_panel=_STUDENT,
        help="Weight of judgements beside the teacher. They gained nothing where it was measured.",
    ),
]  # fmt: skip
BetaWeight = Annotated[
    float,
    typer.Option(
        "--first-stage-weight", metavar="WEIGHT", min=0, rich_help_panel=_STUDENT,
        help="Weight of first-stage scores in the target; 0: the teacher alone.",
    ),
]  # fmt: skip
MaxLength = Annotated[
    int,
    typer.Option("--max-length", metavar="TOKENS", min=16, rich_help_panel=_STUDENT, help="Of a pair, in training."),
]
Epochs = Annotated[
    int, typer.Option("--epochs", metavar="N", min=1, rich_help_panel=_STUDENT, help="Times over all lists.")
]
LearningRate = Annotated[
    float | None,
    typer.Option("--lr", metavar="RATE", min=1e-8, rich_help_panel=_STUDENT, help="Unset: 1e-4, above 4 layers 3e-5."),
]
Precision = Annotated[
    StudentPrecision, typer.Option("--precision", rich_help_panel=_STUDENT, help="Precision of the graphs.")
]
Reduced = Annotated[
    bool | None,
    typer.Option(
        "--reduced-range/--full-range",
        rich_help_panel=_STUDENT,
        help="int8 weights of 7 bits or of 8, in training and in the graphs. Unset: as this CPU needs.",
    ),
]
Name = Annotated[
    str | None, typer.Option("--name", rich_help_panel=_STUDENT, help="Model name in requests. Unset: that of DIR.")
]
TeacherLength = Annotated[
    int | None,
    typer.Option(
        "--teacher-length", metavar="TOKENS", min=16, rich_help_panel=_TEACHER,
        help="Of a pair, as teacher and measured student read it. Unset: all that they can.",
    ),
]  # fmt: skip
Other = Annotated[
    Path | None,
    typer.Option(
        "--other", metavar="DIR", exists=True, file_okay=False, rich_help_panel=_TEACHER,
        help="Judged collection of another domain (BEIR layout), which shows what the student forgot.",
    ),
]  # fmt: skip
OtherQueries = Annotated[
    int,
    typer.Option(
        "--other-queries", metavar="N", min=1, rich_help_panel=_TEACHER, help="Queries of --other that count."
    ),
]
Timed = Annotated[
    int,
    typer.Option(
        "--timed", metavar="N", min=0, rich_help_panel=_TEACHER,
        help="Held-out queries that teacher and student are asked again, uncached, for their speed.",
    ),
]  # fmt: skip
Seed = Annotated[int, typer.Option("--seed", metavar="N", min=0, rich_help_panel=_RUN, help="Of all that is drawn.")]
MaxMinutes = Annotated[
    float | None,
    typer.Option(
        "--max-minutes", metavar="MINUTES", min=0.1, rich_help_panel=_RUN,
        help="Learn from as many lists as are predicted to fit.",
    ),
]  # fmt: skip
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads", metavar="N", min=1, rich_help_panel=_RUN, help="Of the training. Unset: all usable cores."
    ),
]
Work = Annotated[
    Path | None,
    typer.Option(
        "--work", metavar="DIR", file_okay=False, rich_help_panel=_RUN,
        help="Labels, checkpoints and fp32 weights, from which a killed command goes on. Unset: DIR.distil.",
    ),
]  # fmt: skip
DryRun = Annotated[
    bool, typer.Option("--dry-run", rich_help_panel=_RUN, help="Check all, predict time and disk, and end.")
]
Force = Annotated[bool, typer.Option("--force", rich_help_panel=_RUN, help="Replace an artefact in DIR.")]
