"""A run from plain options, as the command and callers in Python give them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict

from rerank_producer.bulk.asking.fusing import RunFusion
from rerank_producer.bulk.asking.window import MOST_REQUESTS
from rerank_producer.bulk.formats.guess import Files, format_named
from rerank_producer.bulk.formats.rows import DEFAULT_TAG, ReadOptions, WriteOptions
from rerank_producer.bulk.spec import BulkSpec, OnError
from rerank_shared.keys import FirstStageOrder, FusionMethod
from rerank_shared.settings import Settings


class BulkOptions(TypedDict, total=False):
    """Options of a run; each may be left out.

    - `format`: jsonl, requests, batch, trec, msmarco, beir or parquet (default: by name and first line).
    - `queries`, `corpus`: files of texts by id, for the formats that name them.
    - `run`: the candidates of a collection.
    - `index`: directory of looked-up corpora (default: the user's cache directory).
    - `columns`: columns of a Parquet file by what they are, where they have other names.
    - `depth`: candidates of each query that are reranked, the first ones (default: all).
    - `max_length`, `top_n`, `fusion`, `fusion_weight`, `fusion_ratio`, `first_stage_order`: as in RequestOptions, for
      rows that do not say theirs.
    - `score_only`: leaves out all that the input has. `tag`, `keep_ties`: of TREC runs.
    - `on_error`: "quarantine" (default), "skip" or "fail"; `errors`: the file of rows that failed; `max_errors`: their
      number after which the run ends.
    - `retry_failed`: asks the failed rows of a complete run again. `overwrite`: begins anew.
    - `limit_queries`: rows that are asked, the first ones.
    - `private_cache`: takes no score from the cache, and leaves none for others.
    - `patience_s`: seconds without any answer after which the run ends (default: it waits).
    - `most_requests`: requests in flight at most (default: by the fleet's speed).
    - `chunk_bytes`: bytes of the input that are committed at once (default: as many as suit the format).
    """

    format: str | None
    queries: Path | None
    corpus: Path | None
    run: Path | None
    index: Path | None
    columns: dict[str, str]
    depth: int | None
    max_length: int | None
    top_n: int | None
    score_only: bool
    tag: str | None
    keep_ties: bool
    fusion: FusionMethod | None
    fusion_weight: float | None
    fusion_ratio: float | None
    first_stage_order: FirstStageOrder | None
    on_error: OnError
    errors: Path | None
    max_errors: int | None
    retry_failed: bool
    overwrite: bool
    limit_queries: int | None
    private_cache: bool
    patience_s: float | None
    most_requests: int | None
    chunk_bytes: int | None


def spec_of(
    source: str | Path,
    output: str | Path,
    settings: Settings,
    options: BulkOptions,
    heard: Callable[[int], object] = lambda records: None,
) -> BulkSpec:
    """Return the run of a file, where "-" is standard input or output.

    A corpus that is named for the first time is read once; `heard` gets the number of its records meanwhile.

    Raises InputRefused for a format that can't be told, FileNotFoundError, ConfigurationError.
    """
    defaults: dict[str, Any] = {"model": settings.model}
    if options.get("max_length") is not None:
        defaults["max_length"] = options["max_length"]
    read = ReadOptions(defaults, options.get("depth"), options.get("chunk_bytes"))
    write = WriteOptions(
        top_n=options.get("top_n"),
        score_only=options.get("score_only", False),
        tag=options.get("tag") or DEFAULT_TAG,
        keep_ties=options.get("keep_ties", False),
    )
    files = Files(
        queries=options.get("queries"),
        corpus=options.get("corpus"),
        run=options.get("run"),
        index=options.get("index"),
        columns=options.get("columns", {}),
        progress=heard,
    )
    asked = options.get("fusion")
    weight = options.get("fusion_weight")
    return BulkSpec(
        format=format_named(options.get("format"), str(source), files, read, write),
        output=None if str(output) == "-" else Path(output),
        read=read,
        write=write,
        fusion=RunFusion(
            method=asked or settings.fusion,
            weight=settings.fusion_weight if weight is None else weight,
            ratio=options.get("fusion_ratio"),
            order=options.get("first_stage_order"),
            asked=asked is not None,
        ),
        on_error=options.get("on_error", "quarantine"),
        failed=options.get("errors"),
        max_errors=options.get("max_errors"),
        limit_queries=options.get("limit_queries"),
        private_cache=options.get("private_cache", False),
        overwrite=options.get("overwrite", False),
        retry_failed=options.get("retry_failed", False),
        patience_s=options.get("patience_s"),
        most_requests=options.get("most_requests") or MOST_REQUESTS,
    )
