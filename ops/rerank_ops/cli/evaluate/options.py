"""Options of `rerank-fleet evaluate`, under headings of their own in `--help`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from rerank_ops.cli.options import directory_there
from rerank_shared import keys

_DATA, _SYSTEMS, _JUDGING, _RUNS = "Data", "Systems", "Measures and tests", "Saved runs and reports"


class Test(StrEnum):
    """Tests of a difference, as the enum that typer needs."""

    T = "t"
    RANDOMISATION = "randomisation"
    WILCOXON = "wilcoxon"


class Correction(StrEnum):
    """Corrections for the number of comparisons."""

    HOLM = "holm"
    BH = "bh"
    NONE = "none"


Data = Annotated[
    str | None,
    typer.Argument(metavar="DATA", help="Directory in the layout of BEIR, or ir_datasets:ID. Or else three files."),
]
Queries = Annotated[
    Path | None,
    typer.Option(
        "--queries", metavar="FILE", exists=True, dir_okay=False, rich_help_panel=_DATA,
        help="Queries by id: TSV, JSONL or Parquet, or a file of `feedback export`.",
    ),
]  # fmt: skip
Corpus = Annotated[
    Path | None,
    typer.Option(
        "--corpus", metavar="FILE", exists=True, dir_okay=False, rich_help_panel=_DATA,
        help="Documents by id: TSV, JSONL or Parquet.",
    ),
]  # fmt: skip
Qrels = Annotated[
    Path | None,
    typer.Option(
        "--qrels", metavar="FILE", exists=True, dir_okay=False, rich_help_panel=_DATA,
        help="Judgements, as TREC, BEIR or `feedback export` write them; also in place of those of a directory.",
    ),
]  # fmt: skip
Limit = Annotated[
    int | None,
    typer.Option(
        "--limit", metavar="N", min=1, rich_help_panel=_DATA, help="Use N of the queries, always the same ones."
    ),
]
FirstStages = Annotated[
    list[str] | None,
    typer.Option(
        "--first-stage", metavar="bm25|dense|dense:DIR|FILE", rich_help_panel=_SYSTEMS,
        help="bm25, dense (bge-small, or the embedder in DIR), or a TREC run, also as NAME=FILE. Several are fused by "
        "RRF, whose list is ranked. Unset: bm25.",
    ),
]  # fmt: skip
K = Annotated[int, typer.Option("--k", metavar="N", min=1, rich_help_panel=_SYSTEMS, help="Candidates of each query.")]
Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model", metavar="NAME", rich_help_panel=_SYSTEMS,
        help="Model that the fleet serves, or directory of an export, for which workers are started. Repeatable. "
        "Unset: RERANK_MODEL.",
    ),
]  # fmt: skip
Cascades = Annotated[
    list[str] | None,
    typer.Option(
        "--cascade", metavar="A>B@N", rich_help_panel=_SYSTEMS,
        help="A row for a cascade, as in 'small>big@20', quoted: models by their names in the table, and the number of "
        "candidates that a later one scores; unset, all. Repeatable; it takes no model time.",
    ),
]  # fmt: skip
NoModel = Annotated[
    bool, typer.Option("--no-model", rich_help_panel=_SYSTEMS, help="Compare first stages and runs alone.")
]
Method = Annotated[
    keys.FusionMethod,
    typer.Option(
        "--fusion", metavar="METHOD", rich_help_panel=_SYSTEMS,
        help="How the first stage counts in rows of fused orders: weighted, zscore, rrf or none.",
    ),
]  # fmt: skip
Weights = Annotated[
    list[float] | None,
    typer.Option(
        "--fusion-weight", metavar="WEIGHT", min=0, rich_help_panel=_SYSTEMS,
        help="A row for each weight. Repeatable; it takes no model time. Unset: 1.",
    ),
]  # fmt: skip
Given = Annotated[
    list[str] | None,
    typer.Option(
        "--run", metavar="FILE", rich_help_panel=_SYSTEMS,
        help="TREC run of another system, a row of its own; also as NAME=FILE. Repeatable.",
    ),
]  # fmt: skip
Timed = Annotated[
    int,
    typer.Option(
        "--timed", metavar="N", min=0, rich_help_panel=_SYSTEMS,
        help="Queries that are scored again, one after the other and uncached: speed, and the A/A row. 0: neither.",
    ),
]  # fmt: skip
Measures = Annotated[
    list[str] | None,
    typer.Option(
        "--measure", "-m", metavar="NAME", rich_help_panel=_JUDGING,
        help="As ir-measures spells it. Repeatable. Unset: nDCG@10, nDCG@5, RR@10 and R at k.",
    ),
]  # fmt: skip
Baseline = Annotated[
    str | None,
    typer.Option(
        "--baseline", metavar="SYSTEM", rich_help_panel=_JUDGING,
        help="System that others are held against, by its name in the table. Unset: the first stage that is ranked.",
    ),
]  # fmt: skip
Tests = Annotated[
    list[Test] | None,
    typer.Option("--test", rich_help_panel=_JUDGING, help="Paired test. Repeatable. Unset: t and randomisation."),
]
CorrectionOption = Annotated[
    Correction,
    typer.Option("--correction", rich_help_panel=_JUDGING, help="How p allow for the number of systems."),
]
Seed = Annotated[
    int, typer.Option("--seed", metavar="N", min=0, rich_help_panel=_JUDGING, help="Seed of intervals and draws.")
]
SaveRuns = Annotated[
    Path | None,
    typer.Option(
        "--save-runs", metavar="DIR", file_okay=False, rich_help_panel=_RUNS,
        help="Write a TREC run of each system, and each model's scores.",
    ),
]  # fmt: skip
Reuse = Annotated[
    bool,
    typer.Option("--reuse", rich_help_panel=_RUNS, help="Read scores that --save-runs left there; make what is not."),
]
Report = Annotated[
    Path | None,
    typer.Option(
        "--report", metavar="FILE.html", dir_okay=False, callback=directory_there, rich_help_panel=_RUNS,
        help="Write all of it as one HTML file, with charts and with the queries that change most.",
    ),
]  # fmt: skip
