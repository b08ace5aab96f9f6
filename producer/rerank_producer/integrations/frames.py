"""Tables through the fleet: `rerank_frame` for a DataFrame of pandas or Polars, and what engines do with each part.

Only queries, texts and first-stage scores go to the fleet. All columns of a table come back as they were, in the same
rows and order, and three more stand behind them:

- `rerank_score`: the relevance score, or with fusion the fused score after the model's activation; null where the row
  was not scored;
- `rerank_rank`: the row's rank from 1 within its query **in this table**; null where it was not scored;
- `rerank_error`: null, or why the row was not scored. It begins with the code of the error.

A query whose rows stand in two tables is ranked twice, each time among the rows that stand together. Nothing sees that.
So an engine must not split a query: see docs/dataframes.md.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import Field, PrivateAttr

from rerank_producer.bulk.iterating import rerank_iter
from rerank_producer.integrations._columns import Asked, Columns, ask
from rerank_producer.integrations._tables import Kind, kind_of
from rerank_producer.integrations.fields import RequestFields
from rerank_shared.contract.schemas import RerankResponse
from rerank_shared.errors import ConfigurationError, RerankError
from rerank_shared.settings import Settings, load_settings


class TableOptions(RequestFields):
    """Options of a table's columns and requests. All requests are of the class "bulk".

    `query`, `text` and `score` name columns. Rows of equal query are ranked together, wherever they stand in the table;
    with `query_id`, the name of another column, rows of equal id. With `documents`, the name of a column of lists of
    texts, each row is a query; `rerank_score` and `rerank_rank` are then lists too.

    With `fusion` ("weighted", "zscore" or "rrf") the first-stage scores in the column `score` count; `score=None` with
    "rrf" takes the order of the rows. `fusion_weight`, `first_stage` and `first_stage_order` are as in
    RerankClient.rerank. "weighted" needs its `fusion_ratio`: one that is learned on the way would give a part that is
    run again other scores. Unset, or "none", the scores are not read, whatever RERANK_FUSION says.

    `patience_s` bounds the time for which a fleet that gives no answer is waited for; then the error is raised.

    Settings are read where this is made, and a pickled one takes them along: the URL of the server, which may hold a
    password, too.
    """

    query: str = "query"
    text: str = "text"
    documents: str | None = None
    query_id: str | None = None
    score: str | None = "score"
    patience_s: float = Field(600.0, ge=0)
    _settings: Settings = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        """Read the settings. Raises ConfigurationError, also for a fusion that gives no reproducible scores."""
        super().model_post_init(context)
        if self.fusion == "weighted" and self.fusion_ratio is None:
            raise ConfigurationError(
                "fusion_ratio: fusion='weighted' would learn it on the way, and a part that is run again would get "
                "other scores; give it, or ask for 'zscore' or 'rrf'"
            )
        if self.fusion in ("weighted", "zscore") and self.score is None:
            raise ConfigurationError(f"score: fusion={self.fusion!r} needs a column of first-stage scores; name it")
        if self.documents is not None and self.query_id is not None:
            raise ConfigurationError("query_id: has no meaning with documents, where each row is a query; leave it out")
        self._settings = load_settings(redis_url=self._url, namespace=self.namespace)

    @property
    def columns(self) -> Columns:
        """The columns that are read."""
        score = self.score if self._fuses else None
        return Columns(self.query, self.text, self.documents, self.query_id, score)


@dataclass(slots=True)
class _Work:
    """A table on its way through the fleet; `answered` counts its questions that are."""

    table: Any
    kind: Kind
    asked: Asked
    answered: int = 0

    @classmethod
    def of(cls, table: Any, columns: Columns) -> _Work:
        kind = kind_of(table)
        columns.check(kind.names(table))
        return cls(table, kind, ask(columns, kind.lists(table, columns.read)))

    @property
    def whole(self) -> bool:
        return self.answered == len(self.asked.questions)

    def take(self, answer: RerankResponse | RerankError) -> None:
        self.asked.fill(self.asked.questions[self.answered], answer)
        self.answered += 1

    def reranked(self) -> Any:
        return self.kind.with_results(self.table, self.asked.results(), listed=self.asked.ends is not None)


def rerank_frames(tables: Iterable[Any], options: TableOptions) -> Iterator[Any]:
    """Yield each table with the columns of results, in order; the next ones are read ahead as far as the window goes.

    One client serves all. Raises InvalidRequest for a column that is missing, FleetGone.
    """
    waiting: deque[_Work] = deque()

    def requests() -> Iterator[dict[str, Any]]:
        for table in tables:
            work = _Work.of(table, options.columns)
            waiting.append(work)
            yield from (question.request() for question in work.asked.questions)

    answers = rerank_iter(
        requests(),
        settings=options._settings,
        on_error="yield",
        patience_s=options.patience_s,
        **options._asked(),
    )
    for answer in answers:
        while waiting[0].whole:
            yield waiting.popleft().reranked()
        waiting[0].take(answer)
    while waiting:
        yield waiting.popleft().reranked()


def rerank_frame(table: Any, **options: Any) -> Any:
    """Return a DataFrame of pandas or Polars, or a PyArrow table, with the columns of results.

    Options are those of TableOptions. Raises InvalidRequest for a column that is missing, ConfigurationError,
    FleetGone.
    """
    (reranked,) = rerank_frames([table], TableOptions(**options))
    return reranked
