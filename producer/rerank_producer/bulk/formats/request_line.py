"""A request as a line of JSON: `query`, `documents` and the options of a request, and an id of the query if it has one.

Such requests are read from files by `rerank-fleet bulk`, as labelled sets, and from iterables by `rerank_iter`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rerank_shared.contract.schemas import RerankRequest, parse_request
from rerank_shared.errors import InvalidRequest

#: Fields that may hold the id of a line's query.
ID_FIELDS = ("id", "query_id")


def parse_line(line: bytes, defaults: Mapping[str, Any]) -> RerankRequest:
    """Return the request of a line, completed by `defaults`. Raises InvalidRequest."""
    return request_of(decoded(line, "`query` and `documents`"), defaults)


def decoded(line: bytes, expected: str) -> dict[str, Any]:
    """Return the object of a line, which should have the fields in `expected`. Raises InvalidRequest."""
    try:
        value: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise InvalidRequest(f"an object with {expected} expected, not {type(value).__name__}")
    return value


def request_of(fields: Mapping[str, Any], defaults: Mapping[str, Any]) -> RerankRequest:
    """Return the request of a line's fields, completed by `defaults`. Raises InvalidRequest."""
    missing = [name for name in ("query", "documents") if name not in fields]
    if missing:
        raise InvalidRequest(f"{', '.join(missing)}: missing")
    value = dict(fields)
    if "class" in value:
        value["job_class"] = value.pop("class")
    return parse_request(**{**defaults, **value})


def without_id(fields: Mapping[str, Any]) -> tuple[str | int | None, dict[str, Any]]:
    """Return the id of a line's query, None where it has none, and the fields of its request.

    Raises InvalidRequest for two ids, and for one that is neither a text nor a whole number.
    """
    request = dict(fields)
    given = [request.pop(name) for name in ID_FIELDS if name in request]
    if not given:
        return None, request
    if len(given) != 1 or isinstance(given[0], bool) or not isinstance(given[0], str | int):
        raise InvalidRequest("id: one id of the query expected, a text or a whole number, as `id` or `query_id`")
    return given[0], request
