"""`rerank-fleet bulk INPUT OUTPUT`: reranks a file, and goes on with it after any kill."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from rerank_ops.cli.bulk import options as asked
from rerank_ops.cli.bulk.exits import exits
from rerank_ops.cli.bulk.group import bulk
from rerank_ops.cli.options import RedisUrl
from rerank_ops.cli.rank.fleet import fleet_for_call
from rerank_ops.cli.rank.fusion_options import FirstStageOrder, Method, Ratio, Weight
from rerank_ops.cli.rank.rerank import MaxLength, Model, TopN, Up
from rerank_shared.settings import load_settings

if TYPE_CHECKING:
    from rerank_producer.bulk import BulkOptions


@bulk.command()
def run(
    source: asked.Input,
    output: asked.Output = "-",
    form: asked.FormatName = None,
    queries: asked.Queries = None,
    corpus: asked.Corpus = None,
    run_file: asked.RunFile = None,
    index: asked.IndexDirectory = None,
    columns: asked.Columns = None,
    depth: asked.Depth = None,
    limit_queries: asked.LimitQueries = None,
    model: Model = None,
    max_length: MaxLength = None,
    top_n: TopN = None,
    score_only: asked.ScoreOnly = False,
    tag: asked.Tag = None,
    keep_ties: asked.KeepTies = False,
    overwrite: asked.Overwrite = False,
    metadata: asked.Metadata = False,
    qrels: asked.QrelsOption = None,
    fusion: Method = None,
    fusion_weight: Weight = None,
    fusion_ratio: Ratio = None,
    first_stage_order: FirstStageOrder = None,
    on_error: asked.OnErrorOption = asked.OnError.QUARANTINE,
    errors: asked.Errors = None,
    max_errors: asked.MaxErrors = None,
    retry_failed: asked.RetryFailed = False,
    dry_run: asked.DryRun = False,
    no_cache: asked.NoCache = False,
    window: asked.MostRequests = None,
    chunk_bytes: asked.ChunkBytes = None,
    give_up_after: asked.GiveUpAfter = None,
    as_json: asked.AsJsonSummary = False,
    up: Up = False,
    url: RedisUrl = None,
) -> None:
    """Rerank the rows of a file. After any kill the same command goes on, and the output is the same to the byte.

    Exit status: 0 all rows, 2 arguments, 3 no fleet, 4 a file or model is missing, 5 input refused, 6 fleet or disk
    failed, 7 some rows failed.
    """
    given: BulkOptions = {
        "format": form, "queries": queries, "corpus": corpus, "run": run_file, "index": index,
        "columns": columns_of(columns or []), "depth": depth, "limit_queries": limit_queries, "max_length": max_length,
        "top_n": top_n, "score_only": score_only, "tag": tag, "keep_ties": keep_ties, "overwrite": overwrite,
        "fusion": fusion, "fusion_weight": fusion_weight, "fusion_ratio": fusion_ratio,
        "first_stage_order": first_stage_order, "on_error": on_error.value, "errors": errors,
        "max_errors": max_errors, "retry_failed": retry_failed, "private_cache": no_cache, "most_requests": window,
        "chunk_bytes": chunk_bytes, "patience_s": give_up_after,
    }  # fmt: skip
    _refuse(output, given, qrels=qrels, metadata=metadata)
    from rerank_ops.cli.bulk.carrying import carry_out, foretell

    with exits():
        settings = load_settings(redis_url=url, model=model)
        if dry_run:
            raise typer.Exit(foretell(source, output, settings, given, as_json=as_json))
        with fleet_for_call(settings, up=up) as reached:
            status = carry_out(source, output, reached, given, metadata=metadata, qrels=qrels, as_json=as_json)
    raise typer.Exit(status)


def columns_of(given: list[str]) -> dict[str, str]:
    """Return columns by what they are. Raises BadParameter."""
    pairs = [each.partition("=") for each in given]
    if any(not (name and column) for name, _, column in pairs):
        raise typer.BadParameter("NAME=COLUMN expected, as query=question", param_hint="--column")
    return {name: column for name, _, column in pairs}


def _refuse(output: str, given: Mapping[str, Any], *, qrels: Path | None, metadata: bool) -> None:
    """Raise BadParameter for options that do not go together."""
    needs_file = {
        "--overwrite": given["overwrite"], "--retry-failed": given["retry_failed"], "--metadata": metadata,
        "--qrels": qrels is not None,
    }  # fmt: skip
    if output == "-" and (wrong := [name for name, is_given in needs_file.items() if is_given]):
        raise typer.BadParameter("needs a file as OUTPUT: nothing is left of standard output", param_hint=wrong[0])
    if given["overwrite"] and given["retry_failed"]:
        raise typer.BadParameter("goes on with a run, and --overwrite begins anew", param_hint="--retry-failed")
