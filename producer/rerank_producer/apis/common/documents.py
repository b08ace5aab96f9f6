"""Texts of documents: an API takes texts, objects or null, and the fleet scores texts. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rerank_shared.errors import InvalidRequest

Document = str | dict[str, Any]


def text_of(document: Document | None, place: str, fields: Sequence[str] = ()) -> str | None:
    """Return the text of a document that is scored.

    A text is scored itself. Of an object the `fields` are scored, one a line; without `fields` its `text`; without
    `text` the whole object as JSON. None stands for null, and for an object whose fields are null. Messages call the
    document by `place`.

    Raises InvalidRequest for an object that has none of the fields, and for an image without a text.
    """
    if document is None or isinstance(document, str):
        return document
    if fields:
        values = [document[field] for field in fields if field in document]
        if not values:
            raise InvalidRequest(f"{place}: has none of the fields of `rank_fields`")
        texts = [_written(value) for value in values if value is not None]
        return "\n".join(texts) if texts else None
    if "text" in document:
        return None if document["text"] is None else _written(document["text"])
    if "image" in document:
        raise InvalidRequest(f"{place}: an image, which the models here can't read; send its text as `text`")
    return _written(document)


def required_text(document: Document, place: str) -> str:
    """Return the text of a document, which must not be null. Raises InvalidRequest as `text_of`, and for null."""
    text = text_of(document, place)
    if text is None:
        raise InvalidRequest(f"{place}: its `text` is null; a text expected")
    return text


def query_of(query: Document) -> str:
    """Return the text of a query, which is a text or `{text}`. Raises InvalidRequest."""
    if isinstance(query, dict):
        if isinstance(query.get("text"), str):
            return str(query["text"])
        what = "an image, which the models here can't read" if "image" in query else "an object without a `text`"
        raise InvalidRequest(f"query: {what}; a text, or an object with one, expected")
    return query


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
