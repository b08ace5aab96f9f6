"""The record of a rollout as bytes in Redis. One that can't be read, of a newer release for example, counts as none."""

from __future__ import annotations

from pydantic import TypeAdapter

from rerank_shared.contract.unreadable import read_or_none
from rerank_shared.routing.rollout import Record

_FORM = TypeAdapter(Record)


def encode_rollout(record: Record) -> bytes:
    """Return the bytes of a record."""
    return _FORM.dump_json(record)


def read_rollout(data: bytes | None) -> Record | None:
    """Return the record of its bytes; None where there are none, or none that this release reads."""
    return None if data is None else read_or_none("rollout", _FORM.validate_json, data)
