"""`requests`: rank_llm's line, in and out; its candidates come back in the new order, with the new scores.

    {"query": {"text": "…", "qid": "7"}, "candidates": [{"docid": "d1", "score": 9.5, "doc": {"text": "…"}}]}

The text of a `doc` is the first of the fields that rank_llm knows, behind the title, joined as BEIR does; a `doc` that
is a text is taken too. Scores of candidates are first-stage scores. Candidates behind the depth follow, with scores
below those of the others. All else in a line comes back as it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rerank_producer.bulk.formats.answers import order_score, to_depth
from rerank_producer.bulk.formats.line_format import LineFormat
from rerank_producer.bulk.formats.request_line import decoded
from rerank_producer.bulk.formats.rows import Answered, Row
from rerank_producer.bulk.formats.runs.trec_scores import to_the_end
from rerank_producer.bulk.texts.records import TITLE_NAME, joined
from rerank_shared.contract.schemas import RerankRequest, RerankResponse, parse_request
from rerank_shared.errors import InvalidRequest

#: Fields of a document that may be its text; the first that is there is.
TEXT_FIELDS = ("text", "segment", "contents", "content", "body", "passage")


class RequestsFormat(LineFormat):
    """Lines of rank_llm, in and out."""

    name = "requests"

    def row(self, number: int, line: bytes) -> Row:
        """Return the row of a line."""
        defaults = self._options.defaults
        try:
            record = decoded(line, "`query` and `candidates`")
            request = to_depth(_request(record, defaults), self._options.depth)
        except InvalidRequest as error:
            return Row(number, line, None, error)
        return Row(number, line, request, context=record)

    def written(self, each: Answered, answer: RerankResponse) -> dict[str, Any]:
        """Return the line with its candidates in the new order."""
        record: Mapping[str, Any] = each.row.context
        given: Sequence[dict[str, Any]] = record["candidates"]
        asked = {result.index for result in answer.results}
        ranked = [given[result.index] for result in answer.results]
        ranked += [candidate for index, candidate in enumerate(given) if index not in asked]
        scores = to_the_end(map(order_score, answer.results), len(ranked))
        candidates = [{**candidate, "score": score} for candidate, score in zip(ranked, scores, strict=True)]
        if self._write.score_only:
            candidates = [{"docid": each["docid"], "score": each["score"]} for each in candidates]
        return {**record, "candidates": candidates[: self._write.top_n]}


def _request(record: Mapping[str, Any], defaults: Mapping[str, Any]) -> RerankRequest:
    """Return the request of a line. Raises InvalidRequest."""
    query, candidates = record.get("query"), record.get("candidates")
    text = query.get("text") if isinstance(query, dict) else query
    if not isinstance(text, str):
        raise InvalidRequest("query: a text, or an object with its `text` and `qid`, expected")
    if not isinstance(candidates, list):
        raise InvalidRequest("candidates: a list of objects with `docid`, `score` and `doc` expected")
    documents = [_document(candidate, f"candidates.{index}") for index, candidate in enumerate(candidates)]
    return parse_request(text, documents, **defaults)


def _document(candidate: Any, place: str) -> dict[str, Any]:
    """Return a candidate as a document of a request. Raises InvalidRequest."""
    if not isinstance(candidate, dict):
        raise InvalidRequest(f"{place}: an object with `docid`, `score` and `doc` expected")
    name = candidate.get("docid")
    if isinstance(name, bool) or not isinstance(name, str | int):
        raise InvalidRequest(f"{place}.docid: a text or a whole number expected")
    return {
        "id": str(name),
        "text": _text(candidate.get("doc"), f"{place}.doc"),
        "score": candidate.get("score"),
    }


def _text(document: Any, place: str) -> str:
    """Return the text of a document. Raises InvalidRequest."""
    if isinstance(document, str):
        return document
    if not isinstance(document, dict):
        raise InvalidRequest(f"{place}: an object with the document's text, or the text itself, expected")
    field = next((field for field in TEXT_FIELDS if field in document), None)
    if field is None:
        raise InvalidRequest(f"{place}: it has none of the fields {', '.join(TEXT_FIELDS)}")
    text, title = document[field], document.get(TITLE_NAME)
    if not isinstance(text, str):
        raise InvalidRequest(f"{place}.{field}: a text expected")
    if title is not None and not isinstance(title, str):
        raise InvalidRequest(f"{place}.{TITLE_NAME}: a text expected")
    return joined(title, text)
