"""`batch`: OpenAI's batch line, as vLLM's `run-batch` takes it for reranks and scores.

    {"custom_id": "a", "method": "POST", "url": "/v1/rerank", "body": {…}}
    {"id": "batch_req_…", "custom_id": "a", "error": null,
     "response": {"status_code": 200, "request_id": "…", "body": {…}}}

A `url` counts by its end: /v2/rerank, /v1/rerank, /rerank, /v1/fleet/rerank, /score. Its body is read, and its answer
written, as the gateway would; without the gateway's warnings and with a time of creation of 0, since the same line
always gives the same bytes. `id` and `request_id` come of the custom_id and the line. A line that fails has the error
of its API, with the status that the gateway would answer with. What the run leaves out of an answer with `score_only`
is nothing: its shape is the API's.

A custom_id that stands twice in one chunk is refused. Over a whole file that can't be told without holding all of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rerank_producer.apis import COHERE_V2, FLEET, dialect
from rerank_producer.apis.common.call import Api, Parsed, RerankCall, RerankReply
from rerank_producer.apis.common.generic_error import GENERIC_ERRORS
from rerank_producer.apis.common.problems import problem_of
from rerank_producer.apis.score import Score
from rerank_producer.bulk.formats.answers import to_depth, with_rest, with_run_model
from rerank_producer.bulk.formats.chunks import Chunk
from rerank_producer.bulk.formats.files import as_line
from rerank_producer.bulk.formats.line_format import LineFormat
from rerank_producer.bulk.formats.request_line import decoded
from rerank_producer.bulk.formats.rows import Answered, ReadOptions, Row, WriteOptions
from rerank_shared.contract.schemas import MIN_LENGTH, RerankRequest, RerankResponse, Result, parse_request
from rerank_shared.errors import InvalidRequest, RerankError

_SCORE = Score(clock=lambda: 0.0)
#: What a body is by the end of its url; the first that fits.
_BY_URL: tuple[tuple[str, Callable[[Any], Api]], ...] = (
    ("/fleet/rerank", lambda body: FLEET),
    ("/v2/rerank", lambda body: COHERE_V2),
    ("/v1/rerank", dialect.choose),
    ("/rerank", dialect.choose_unversioned),
    ("/score", lambda body: _SCORE),
)
#: Fields of bodies that say how many results are wanted.
_TOP_FIELDS = ("top_n", "top_k")
_SHOWN_CHARS = 200


@dataclass(frozen=True, slots=True)
class _Line:
    """What a line's answer is made of: its ids, its API, its body as that has read it, and what it did not say.

    A line that can't be read has an empty `custom_id`, and no `parsed`.
    """

    custom_id: str
    request_id: str
    api: Api
    parsed: Parsed | None = None
    top_n_is_open: bool = False


class BatchFormat(LineFormat):
    """OpenAI's batch lines, in and out. `max_length` is that of the model; a body that asks for more gets it."""

    name = "batch"

    def __init__(
        self, path: Path | None, options: ReadOptions, write: WriteOptions, max_length: int | None = None
    ) -> None:
        super().__init__(path, options, write)
        self._max_length = max_length

    def rows(self, chunk: Chunk) -> tuple[Row, ...]:
        """Return the rows of a chunk."""
        rows, seen = [], set()
        for row in LineFormat.rows(self, chunk):
            context: _Line = row.context
            if row.request is not None and context.custom_id in seen:
                error = InvalidRequest(f"custom_id: {context.custom_id[:_SHOWN_CHARS]!r} stands on an earlier line too")
                row = replace(row, request=None, further=(), error=error)
            seen.add(context.custom_id)
            rows.append(row)
        return tuple(rows)

    def row(self, number: int, line: bytes) -> Row:
        """Return the row of a line."""
        context = _Line("", request_id("", number), GENERIC_ERRORS)
        try:
            record = decoded(line, "`custom_id`, `method`, `url` and `body`")
            custom_id = record.get("custom_id")
            if not isinstance(custom_id, str) or not custom_id:
                raise InvalidRequest("custom_id: a text expected")
            context = _Line(custom_id, request_id(custom_id, number), GENERIC_ERRORS)
            body: Any = record.get("body")
            context = replace(context, api=_api(record, body))
            parsed = context.api.parse(body)
            requests = [self._request(call) for call in parsed.calls]
        except InvalidRequest as error:
            return Row(number, line, None, error, context)
        context = replace(context, parsed=parsed, top_n_is_open=not any(body.get(name) for name in _TOP_FIELDS))
        return Row(number, line, requests[0], context=context, further=tuple(requests[1:]))

    def _request(self, call: RerankCall) -> RerankRequest:
        """Return what is asked for a call. Raises InvalidRequest."""
        if call.stages:
            raise InvalidRequest("stages: a row is scored by the one model of its run; leave the field out")
        asked = {
            "max_length": self._bounded(call.max_length),
            "model": call.model,
            "tenant": call.tenant or None,
            "tokenizer_digest": call.tokenizer_digest,
            "cache_scope": call.cache_scope if call.cache_scope != "fleet" else None,
            "fusion": call.fusion.method,
            "fusion_weight": call.fusion.weight,
            "fusion_ratio": call.fusion.ratio,
            "first_stage": call.fusion.first_stage or None,
            "first_stage_order": call.fusion.order if call.fusion.order != "descending" else None,
            "scores": call.fusion.scores,
        }
        said = {name: value for name, value in asked.items() if value is not None}
        defaults = self._options.defaults
        request = with_run_model(
            parse_request(call.query, call.documents, **{**defaults, **said}), defaults.get("model")
        )
        return to_depth(request.model_copy(update={"top_n": call.top_n}), self._options.depth)

    def _bounded(self, length: int | None) -> int | None:
        if length is None or self._max_length is None:
            return length
        return max(MIN_LENGTH, min(self._max_length, length))

    def written(self, each: Answered, answer: RerankResponse) -> dict[str, Any]:
        """Return the line of an answer."""
        context: _Line = each.row.context
        assert context.parsed is not None
        top_n = self._write.top_n if context.top_n_is_open and context.api is not _SCORE else None
        replies = [
            RerankReply(call, _cut(response, call, top_n))
            for call, response in zip(context.parsed.calls, (answer, *each.further), strict=True)
        ]
        return _line(context, 200, context.parsed.render(context.request_id, replies))

    def write_failed(self, answered: Sequence[Answered]) -> bytes:
        """Return a line for each row that failed, of the same shape."""
        return b"".join(_failed(each.row, each.answer) for each in answered if isinstance(each.answer, RerankError))


def _api(record: dict[str, Any], body: Any) -> Api:
    """Return the API of a line. Raises InvalidRequest."""
    method, url = record.get("method", "POST"), record.get("url")
    if not isinstance(method, str) or method.upper() != "POST":
        raise InvalidRequest("method: POST expected")
    ends = ", ".join(end for end, _ in _BY_URL)
    if not isinstance(url, str):
        raise InvalidRequest(f"url: a text that ends in one of {ends} expected")
    for end, choose in _BY_URL:
        if url.rstrip("/").endswith(end):
            return choose(body)
    raise InvalidRequest(f"url: {url[:_SHOWN_CHARS]!r} ends in none of {ends}")


def request_id(custom_id: str, number: int) -> str:
    """Return the id of a line's request, the same each time."""
    source = f"{number} {custom_id}".encode(errors="surrogatepass")
    return hashlib.blake2b(source, digest_size=12).hexdigest()


def line_id(of_request: str) -> str:
    """Return the id of a line's answer, by that of its request."""
    return f"batch_req_{of_request}"


def _cut(response: RerankResponse, call: RerankCall, top_n: int | None) -> RerankResponse:
    """Return an answer with the documents behind the depth, and then with the best `top_n`."""
    scored = len(response.results)
    rest = [Result(index=index, scored=False) for index in range(scored, len(call.documents))]
    whole = with_rest(response, rest)
    best = whole.results[: call.top_n or top_n]
    return whole.model_copy(update={"results": best})


def _failed(row: Row, error: RerankError) -> bytes:
    context: _Line = row.context
    status, body = context.api.problem(problem_of(error), context.request_id)
    told = {"code": error.code, "message": error.message}
    return as_line({**_line(context, status, body), "error": told})


def _line(context: _Line, status: int, body: Any) -> dict[str, Any]:
    return {
        "id": line_id(context.request_id),
        "custom_id": context.custom_id or None,
        "response": {"status_code": status, "request_id": context.request_id, "body": body},
        "error": None,
    }
