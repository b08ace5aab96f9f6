"""`rerank-fleet fusion tune`: chooses method and weight of fusion on a labelled set, and says what they gain there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rerank_ops.cli.bar import progress
from rerank_ops.cli.console import err, out
from rerank_ops.cli.extras import require_evaluation
from rerank_ops.cli.options import AsJson, RedisUrl
from rerank_ops.cli.rank.fleet import fleet_for_call
from rerank_ops.cli.rank.rerank import MaxLength, Model, Up
from rerank_ops.signals import run_stoppable
from rerank_producer import AsyncRerankClient
from rerank_shared.keys import FirstStageOrder
from rerank_shared.settings import Settings, load_settings

if TYPE_CHECKING:
    from rerank_ops.fusion.labelled import LabelledSet
    from rerank_ops.fusion.sweep import ScoredQuery

_OWN = "Own candidates"
#: Requests in flight; enough for several processes, and few enough for a fleet that others use.
_IN_FLIGHT = 8

fusion = typer.Typer(name="fusion", help="Choose how first-stage scores count.", no_args_is_help=True)

Collection = Annotated[
    Path | None,
    typer.Argument(
        metavar="DIR", exists=True, file_okay=False, help="Collection (BEIR layout); BM25 finds the candidates."
    ),
]
Requests = Annotated[
    Path | None,
    typer.Option(
        "--input",
        "-i",
        metavar="FILE",
        exists=True,
        dir_okay=False,
        rich_help_panel=_OWN,
        help="JSONL file of requests, instead of a collection: on each line id, query, and documents with id, text and "
        "score.",
    ),
]
QrelsFile = Annotated[
    Path | None,
    typer.Option(
        "--qrels",
        metavar="FILE",
        exists=True,
        dir_okay=False,
        rich_help_panel=_OWN,
        help="Judgements of these queries, as TREC or BEIR write them.",
    ),
]
ScoreOrder = Annotated[
    FirstStageOrder | None,
    typer.Option(
        "--first-stage-order",
        metavar="ORDER",
        rich_help_panel=_OWN,
        help="ascending where smaller scores are better, as distances are; else descending.",
    ),
]
Folds = Annotated[int, typer.Option("--folds", metavar="N", min=2, help="Parts of the set; each is held out once.")]
Seed = Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Seed of the parts and of the intervals.")]
K = Annotated[int | None, typer.Option("--k", metavar="N", min=1, help="BM25 candidates of each query. Unset: 50.")]
Limit = Annotated[
    int | None, typer.Option("--limit", metavar="N", min=1, help="Use N of the queries, always the same ones.")
]


@fusion.callback()
def _group() -> None: ...


@fusion.command()
def tune(
    directory: Collection = None,
    requests: Requests = None,
    qrels: QrelsFile = None,
    order: ScoreOrder = None,
    folds: Folds = 5,
    seed: Seed = 0,
    k: K = None,
    limit: Limit = None,
    model: Model = None,
    max_length: MaxLength = None,
    as_json: AsJson = False,
    up: Up = False,
    url: RedisUrl = None,
) -> None:
    """Find the method and weight of fusion for your queries, and what they gain, on judged queries.

    The fleet scores the candidates of every query; the cache makes a second run free. Weights are chosen by
    cross-validation: what is reported of a query was chosen on other queries.
    """
    _refuse(directory, requests, qrels, order, k)
    require_evaluation(bm25=directory is not None)
    from rerank_ops.cli.fusion.report import as_plain, print_tuning
    from rerank_ops.fusion.tuning import tune as tuning_of

    settings = load_settings(redis_url=url, model=model)
    labelled = _labelled(directory, requests, qrels, order, k, limit)
    if labelled.unjudged:
        err.print(f"note: {labelled.unjudged:,} queries without a relevant document are left out", style="yellow")
    with fleet_for_call(settings, up=up) as reached:
        options = {} if max_length is None else {"max_length": max_length}
        scored = run_stoppable(_score(reached, labelled, options))
    found = tuning_of(scored, labelled.qrels, folds=folds, seed=seed)
    if as_json:
        print(json.dumps(as_plain(found, labelled, settings.model), indent=1))
        return
    print_tuning(found, labelled, settings.model, out)


def _refuse(
    directory: Path | None, requests: Path | None, qrels: Path | None, order: FirstStageOrder | None, k: int | None
) -> None:
    """Raise BadParameter unless one source of queries is given, with the options that go with it."""
    if (directory is None) == (requests is None):
        raise typer.BadParameter("give either a collection or --input", param_hint="DIR")
    if (requests is None) != (qrels is None):
        raise typer.BadParameter("goes with --input, and --input with it", param_hint="--qrels")
    if order is not None and requests is None:
        raise typer.BadParameter("goes with --input only: BM25 scores descend", param_hint="--first-stage-order")
    if k is not None and directory is None:
        raise typer.BadParameter("goes with a collection only: all candidates of --input count", param_hint="--k")


def _labelled(
    directory: Path | None,
    requests: Path | None,
    qrels: Path | None,
    order: FirstStageOrder | None,
    k: int | None,
    limit: int | None,
) -> LabelledSet:
    from rerank_ops.fusion.labelled import from_collection, from_requests
    from rerank_ops.quality.collection import K

    if requests is not None and qrels is not None:
        return from_requests(requests, qrels, limit, order)
    assert directory is not None
    with err.status("finding candidates"):
        return from_collection(directory, limit, k or K)


async def _score(settings: Settings, labelled: LabelledSet, options: dict[str, Any]) -> list[ScoredQuery]:
    from rerank_ops.fusion.scoring import score

    with progress(len(labelled.queries)) as advance:
        async with AsyncRerankClient(settings) as client:
            return await score(client, labelled, concurrency=_IN_FLIGHT, on_answer=lambda _: advance(), options=options)
