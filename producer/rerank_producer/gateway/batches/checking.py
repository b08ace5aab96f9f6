"""What a batch is refused for before anything is scored: its lines are read once, from the first to the last."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rerank_producer.bulk.formats.request_line import decoded
from rerank_producer.gateway.batches.records import Mistake
from rerank_producer.gateway.batches.stopping import Stop
from rerank_shared.errors import InvalidRequest

#: Further ones are not looked for.
MOST_MISTAKES = 20
#: Names of models in one batch; all have to mean one model.
MOST_NAMES = 16
_MAX_ID_CHARS = 512
_SHOWN_CHARS = 100


@dataclass(frozen=True, slots=True)
class Expected:
    """What the lines of a batch must be: their `url`, how many and how long they are."""

    endpoint: str
    most_lines: int
    line_bytes: int


@dataclass(slots=True)
class Checked:
    """Lines that ask something, the names of models in them with the first line of each, and the first mistakes."""

    total: int = 0
    names: dict[str, int] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)


def check(path: Path, expected: Expected, stop: Stop) -> Checked:
    """Read a file. Raises Stopped, OSError."""
    checked, seen = Checked(), set[bytes]()
    with path.open("rb") as file:
        for number, raw in enumerate(iter(lambda: file.readline(expected.line_bytes + 1), b""), start=1):
            stop.check()
            if len(raw) > expected.line_bytes:
                message = f"the line is longer than {expected.line_bytes:,} bytes; send fewer documents a line"
                checked.mistakes.append(Mistake(code="line_too_large", message=message, line=number))
                break
            if not raw.strip():
                continue
            checked.total += 1
            if checked.total > expected.most_lines:
                message = f"more than {expected.most_lines:,} requests, the most in one batch; split the file"
                checked.mistakes.append(Mistake(code="too_many_requests", message=message, line=number))
                break
            checked.mistakes += _mistakes(raw, number, expected, checked, seen)
            if len(checked.mistakes) >= MOST_MISTAKES:
                break
    if not checked.total and not checked.mistakes:
        checked.mistakes.append(
            Mistake(code="empty_file", message="the file has no lines; one request a line expected")
        )
    return checked


def _mistakes(raw: bytes, number: int, expected: Expected, checked: Checked, seen: set[bytes]) -> Iterator[Mistake]:
    try:
        record = decoded(raw, "`custom_id`, `method`, `url` and `body`")
    except InvalidRequest as error:
        yield Mistake(code="invalid_json_line", message=error.message, line=number)
        return
    yield from _of_id(record.get("custom_id"), number, seen)
    if (method := record.get("method")) != "POST":
        yield _mistake("invalid_method", "method", _shown(method), "POST", number)
    if (url := record.get("url")) != expected.endpoint:
        yield _mistake("invalid_url", "url", _shown(url), f"{expected.endpoint}, the batch's endpoint,", number)
    body = record.get("body")
    if not isinstance(body, dict):
        yield _mistake("invalid_body", "body", _shown(body), "an object", number)
    elif isinstance(name := body.get("model"), str) and name and name not in checked.names:
        checked.names[name] = number
        if len(checked.names) > MOST_NAMES:
            message = f"more than {MOST_NAMES} names of models; one batch has one model"
            yield Mistake(code="mismatched_model", message=message, line=number, param="body.model")


def _of_id(custom_id: Any, number: int, seen: set[bytes]) -> Iterator[Mistake]:
    if not isinstance(custom_id, str) or not 0 < len(custom_id) <= _MAX_ID_CHARS:
        expected = f"a text of 1 to {_MAX_ID_CHARS} characters"
        yield _mistake("invalid_custom_id", "custom_id", _shown(custom_id), expected, number)
        return
    # A digest, so that ids of any length take the same little memory.
    digest = hashlib.blake2b(custom_id.encode(errors="surrogatepass"), digest_size=12).digest()
    if digest in seen:
        message = f"custom_id: {_shown(custom_id)} stands on an earlier line too"
        yield Mistake(code="duplicate_custom_id", message=message, line=number, param="custom_id")
    seen.add(digest)


def _mistake(code: str, param: str, shown: str, expected: str, number: int) -> Mistake:
    return Mistake(code=code, message=f"{param}: {shown}; {expected} expected", line=number, param=param)


def _shown(value: Any) -> str:
    if value is None:
        return "is missing"
    return repr(value[:_SHOWN_CHARS]) if isinstance(value, str) else f"{type(value).__name__}"
