"""A small table of pairs and the same as lists, and what a reranked one must say."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rerank_producer import RerankClient
from rerank_shared.settings import Settings
from support.jobs import BERLIN_DOCUMENTS, BERLIN_QUERY

QUERIES = {"berlin": BERLIN_QUERY, "bread": "What is bread made of?", "river": "Which river flows through Berlin?"}
TEXTS = [
    "The Spree flows through Berlin.",
    BERLIN_DOCUMENTS[1],
    "Bread is baked from flour and water.",
    BERLIN_DOCUMENTS[0],
]
#: Rows of a query do not stand together, and one has no text, one no query.
PAIRS: list[dict[str, Any]] = [
    {"query_id": query_id, "query": QUERIES[query_id], "text": text, "row": row}
    for row, (text, query_id) in enumerate((text, query_id) for text in TEXTS for query_id in QUERIES)
] + [
    {"query_id": "berlin", "query": QUERIES["berlin"], "text": None, "row": 100},
    {"query_id": "berlin", "query": None, "text": TEXTS[0], "row": 101},
]
LISTS: list[dict[str, Any]] = [
    {"query_id": query_id, "query": query, "documents": TEXTS} for query_id, query in QUERIES.items()
]
ERRORS = {100: "invalid_request: text: is null", 101: "invalid_request: query: is null"}


@dataclass(frozen=True, slots=True)
class Expected:
    """What the client answers: of each query, score and rank of each text."""

    by_query: dict[str, dict[str, tuple[float, int]]]

    @classmethod
    def of(cls, settings: Settings) -> Expected:
        """Ask the client. Its scores are cached from then on, so that engines must give the very same."""
        with RerankClient(settings) as client:
            responses = {key: client.rerank(query, TEXTS, deadline_ms=60_000) for key, query in QUERIES.items()}
        return cls(
            {
                key: {
                    TEXTS[result.index]: (result.relevance_score or math.nan, rank)
                    for rank, result in enumerate(response.results, 1)
                }
                for key, response in responses.items()
            }
        )

    def check_pairs(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Fail unless these are all rows of PAIRS, each with the columns of results, in any order."""
        found = sorted(({**row} for row in rows), key=lambda row: int(row["row"]))
        assert found == [{**row, **self._of_pair(row)} for row in PAIRS]

    def check_lists(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Fail unless these are all rows of LISTS, each with the columns of results, in any order."""
        found = sorted(({**row} for row in rows), key=lambda row: str(row["query_id"]))
        assert found == [{**row, **self.of_list(row["query_id"])} for row in LISTS]

    def of_list(self, query_id: str) -> dict[str, Any]:
        """Return the columns of results of a row of LISTS."""
        scores, ranks = zip(*(self.by_query[query_id][text] for text in TEXTS), strict=True)
        return {"rerank_score": list(scores), "rerank_rank": list(ranks), "rerank_error": None}

    def _of_pair(self, row: Mapping[str, Any]) -> dict[str, Any]:
        if error := ERRORS.get(row["row"]):
            return {"rerank_score": None, "rerank_rank": None, "rerank_error": error}
        score, rank = self.by_query[row["query_id"]][row["text"]]
        return {"rerank_score": score, "rerank_rank": rank, "rerank_error": None}
