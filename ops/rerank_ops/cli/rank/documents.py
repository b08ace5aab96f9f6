"""Candidates of the command line: read from arguments, a file or stdin, one a line or as JSON objects.

A file is JSONL if its name says so, or if its first line is an object with `text`; then every line must be one. Blank
lines are skipped.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rerank_shared.contract.schemas import Document
from rerank_shared.errors import InvalidRequest

_JSONL_SUFFIXES = (".jsonl", ".ndjson")


def from_texts(texts: Sequence[str]) -> list[Document]:
    """Return each text as a document."""
    return [Document(text=text) for text in texts]


def from_bytes(data: bytes, name: str) -> list[Document]:
    """Return the documents of a file's content; `name` gives the suffix and stands in errors. Raises InvalidRequest."""
    lines = list(_lines(data, name))
    objects = Path(name).suffix in _JSONL_SUFFIXES or (bool(lines) and _is_document(lines[0][1]))
    if not objects:
        return [Document(text=text) for _, text in lines]
    return [_parse(text, f"{name}, line {number}") for number, text in lines]


def _lines(data: bytes, name: str) -> Iterator[tuple[int, str]]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{name} is not UTF-8 text ({error.reason} at byte {error.start})") from None
    # Not splitlines(), which also splits at characters that JSON strings may hold as they are.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, line.removesuffix("\r")


def _is_document(line: str) -> bool:
    try:
        value: Any = json.loads(line)
    except ValueError:
        return False
    return isinstance(value, dict) and "text" in value


def _parse(line: str, where: str) -> Document:
    try:
        value: Any = json.loads(line)
        return Document(text=value) if isinstance(value, str) else Document.model_validate(value)
    except ValidationError as error:
        raise InvalidRequest(f"{where}: {_mistake(error)}") from None
    except ValueError as error:
        raise InvalidRequest(f"{where} is not JSON: {error}") from None


def _mistake(error: ValidationError) -> str:
    """Return the first mistake in a document, with its field."""
    found = error.errors(include_url=False, include_input=False)
    path = found[0]["loc"]
    if path[:1] == ("score",):
        # A score is refused once by each branch of its union; the last one says what is expected.
        return f"score: {found[-1]['msg']}"
    return f"{'.'.join(map(str, path)) or 'document'}: {found[0]['msg']}"
