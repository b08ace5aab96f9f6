"""Ids of files and batches, and the names of their owners. Pure.

An id from a URL is compared with its pattern before it becomes part of a path.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from typing import Literal

from rerank_producer.gateway.auth.keyring import ApiKey

_FILE = re.compile(r"file-[0-9a-f]{32}")
_BATCH = re.compile(r"batch_[0-9a-f]{32}")
#: Keys have ids of eight characters, so no key is this one.
NOBODYS = "everybody"


def owner_of(key: ApiKey | None) -> str:
    """Return whose files and batches a caller sees: its key's, or everybody's where no keys are set."""
    return NOBODYS if key is None else key.key_id


def new_file_id() -> str:
    """Return the id of a new file."""
    return f"file-{uuid.uuid4().hex}"


def new_batch_id() -> str:
    """Return the id of a new batch."""
    return f"batch_{uuid.uuid4().hex}"


def is_file_id(text: str) -> bool:
    """Whether a text is the id of a file."""
    return _FILE.fullmatch(text) is not None


def is_batch_id(text: str) -> bool:
    """Whether a text is the id of a batch."""
    return _BATCH.fullmatch(text) is not None


def result_id(batch_id: str, kind: Literal["output", "errors"]) -> str:
    """Return the id of a batch's file of results; the same each time, so that it is published once."""
    return f"file-{hashlib.blake2b(f'{batch_id} {kind}'.encode(), digest_size=16).hexdigest()}"
