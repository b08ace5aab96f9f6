"""`rerank-fleet rerank`: answers one request from arguments, a file or stdin, and prints the answer to stdout."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from rerank_ops.cli.console import err, out
from rerank_ops.cli.options import AsJson, RedisUrl, settings_from
from rerank_ops.cli.rank import documents as candidates
from rerank_ops.cli.rank.fleet import fleet_for_call
from rerank_ops.cli.rank.fusion_options import FirstStage, FirstStageOrder, Method, Ratio, Weight
from rerank_ops.cli.rank.ranking import ranking_table, summary
from rerank_producer import RerankClient
from rerank_shared.contract.schemas import MIN_LENGTH, Document, RerankResponse
from rerank_shared.errors import DeadlineExceeded
from rerank_shared.settings import Settings


class JobClass(StrEnum):
    """The classes in `keys.JOB_CLASSES`, as the enum that typer needs."""

    INTERACTIVE = "interactive"
    BULK = "bulk"


Query = Annotated[str | None, typer.Argument(metavar="QUERY", help="Query to rank the documents by.")]
Texts = Annotated[
    list[str] | None,
    typer.Argument(metavar="DOCUMENT", help="Candidates in first-stage order. None: read from --documents or stdin."),
]
DocumentsFile = Annotated[
    Path | None,
    typer.Option(
        "--documents",
        "-d",
        metavar="FILE",
        exists=True,
        dir_okay=False,
        help="File of candidates: one text a line, or JSON objects with text, id, metadata, score.",
    ),
]
TopN = Annotated[int | None, typer.Option("--top-n", "-n", metavar="N", min=1, help="Return the best N documents.")]
MaxLength = Annotated[
    int | None, typer.Option("--max-length", metavar="TOKENS", min=MIN_LENGTH, help="Cut pairs to this length.")
]
DeadlineMs = Annotated[
    float | None, typer.Option("--deadline-ms", metavar="MS", help="Deadline; documents not scored by then come last.")
]
Class = Annotated[JobClass, typer.Option("--class", help="Class of the request.")]
Model = Annotated[str | None, typer.Option("--model", metavar="NAME", help="Model to use, instead of RERANK_MODEL.")]
Up = Annotated[bool, typer.Option("--up", help="Start a private fleet for this call if no server is configured.")]


def rerank(
    query: Query = None,
    texts: Texts = None,
    file: DocumentsFile = None,
    top_n: TopN = None,
    max_length: MaxLength = None,
    deadline_ms: DeadlineMs = None,
    job_class: Class = JobClass.INTERACTIVE,
    model: Model = None,
    as_json: AsJson = False,
    up: Up = False,
    fusion: Method = None,
    fusion_weight: Weight = None,
    fusion_ratio: Ratio = None,
    first_stage: FirstStage = None,
    first_stage_order: FirstStageOrder = None,
    url: RedisUrl = None,
) -> None:
    """Order documents by relevance to a query."""
    options = _given(
        top_n=top_n, max_length=max_length, deadline_ms=deadline_ms, model=model, fusion=fusion,
        fusion_weight=fusion_weight, fusion_ratio=fusion_ratio, first_stage=first_stage,
        first_stage_order=first_stage_order, job_class=job_class.value,
    )  # fmt: skip
    _answer(query, texts or [], file, options, url, up=up, as_json=as_json)


def _given(**options: Any) -> dict[str, Any]:
    """Return the options that were given: the request has its own default for each other."""
    return {name: value for name, value in options.items() if value is not None}


def _answer(
    query: str | None,
    texts: list[str],
    file: Path | None,
    options: dict[str, Any],
    url: str | None,
    *,
    up: bool,
    as_json: bool,
) -> None:
    """Answer the request of the arguments."""
    if query is None:
        raise typer.BadParameter("a query is needed; `rerank-fleet bulk` takes a file of them", param_hint="QUERY")
    documents = _documents(texts, file)
    with fleet_for_call(settings_from(url), up=up) as settings:
        response = _rerank_one(settings, query, documents, options)
    _show(response, documents, as_json=as_json)


def _documents(texts: list[str], file: Path | None) -> list[Document]:
    if texts and file is not None:
        raise typer.BadParameter("documents are given as arguments already", param_hint="--documents")
    if texts:
        return candidates.from_texts(texts)
    if file is not None:
        found = candidates.from_bytes(file.read_bytes(), str(file))
    elif sys.stdin.isatty():
        raise typer.BadParameter("give some as arguments, with --documents or on stdin", param_hint="DOCUMENT")
    else:
        found = candidates.from_bytes(sys.stdin.buffer.read(), "stdin")
    if not found:
        raise typer.BadParameter(f"{file or 'stdin'} holds none", param_hint="DOCUMENT")
    return found


def _rerank_one(settings: Settings, query: str, documents: list[Document], options: dict[str, Any]) -> RerankResponse:
    with RerankClient(settings) as client:
        response = client.rerank(query, documents, **options)
    if not any(result.scored for result in response.results):
        raise DeadlineExceeded(
            f"no document was scored within {response.timings.total_ms:,.0f} ms; `rerank-fleet doctor` shows whether "
            "workers are alive and what waits before this request"
        )
    return response


def _show(response: RerankResponse, documents: list[Document], *, as_json: bool) -> None:
    if not response.complete:
        err.print("note: the deadline cut some documents off; they stand last, in the order given", style="yellow")
    if as_json:
        print(response.model_dump_json(indent=2 if sys.stdout.isatty() else None))
        return
    out.print(ranking_table(response, documents))
    out.print(summary(response), style="dim", soft_wrap=True)
