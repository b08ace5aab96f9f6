"""`jsonl`: a request a line, and its results a line, best first.

    {"id": "7", "query": "…", "documents": ["…", {"id": "d1", "text": "…"}], "top_n": 3}
    {"line": 1, "id": "7", "results": [{"index": 1, "id": "d1", "relevance_score": 0.9, …}, …], "model": "…"}

A line's own options come before those of the run; `class` and `deadline_ms` are taken and not used. With a depth, the
documents behind it follow without scores. Blank lines are passed over and counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rerank_producer.bulk.formats.answers import order_score, to_depth, with_rest, with_run_model
from rerank_producer.bulk.formats.line_format import LineFormat
from rerank_producer.bulk.formats.request_line import decoded, request_of, without_id
from rerank_producer.bulk.formats.rows import Answered, Row
from rerank_shared.contract.schemas import RerankRequest, RerankResponse, Result
from rerank_shared.errors import InvalidRequest

#: Of a result, by the order in which they are written; those without a value are left out.
_FIELDS = (
    "index", "id", "relevance_score", "logit", "tokens", "truncated", "metadata",
    "first_stage_score", "fused_score", "ranks",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Line:
    """The id that a line's answer repeats, and the documents behind the depth."""

    id: str | int | None
    rest: tuple[Result, ...] = ()


class JsonlFormat(LineFormat):
    """Requests a line, results a line."""

    name = "jsonl"

    def row(self, number: int, line: bytes) -> Row:
        """Return the row of a line."""
        defaults = self._options.defaults
        try:
            name, fields = without_id(decoded(line, "`query` and `documents`"))
            whole = with_run_model(request_of(fields, defaults), defaults.get("model"))
        except InvalidRequest as error:
            return Row(number, line, None, error)
        request = to_depth(whole, self._options.depth)
        return Row(number, line, request, context=_Line(name, _behind(whole, len(request.documents))))

    def written(self, each: Answered, answer: RerankResponse) -> dict[str, Any]:
        """Return the line of an answer."""
        row, context = each.row, each.row.context
        record: dict[str, Any] = {"line": row.number}
        if context.id is not None:
            record["id"] = context.id
        results = with_rest(answer, list(context.rest)).results
        if self._write.score_only:
            return record | {"scores": [order_score(each) for each in sorted(results, key=lambda each: each.index)]}
        top_n = row.request and row.request.top_n
        results = results[: top_n or self._write.top_n]
        return record | {"results": [_result(each) for each in results], "model": answer.model.name}


def _behind(request: RerankRequest, depth: int) -> tuple[Result, ...]:
    """Return the documents behind the first `depth`, as results without scores."""
    return tuple(
        Result(index=index, scored=False)
        if isinstance(document, str)
        else Result(index=index, id=document.id, metadata=document.metadata, scored=False)
        for index, document in enumerate(request.documents[depth:], start=depth)
    )


def _result(result: Result) -> dict[str, Any]:
    values = {name: getattr(result, name) for name in _FIELDS if result.scored or name != "truncated"}
    return {name: value for name, value in values.items() if value is not None}
