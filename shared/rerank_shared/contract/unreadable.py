"""Records that can't be read, since another release or somebody else wrote them. They count as absent.

One such record must not hide all the others. What is left out is logged, once for each kind in a process.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import TypeVar

from rerank_shared.errors import WireError

T = TypeVar("T")
log = logging.getLogger(__name__)
_told: set[str] = set()


def read_or_none(kind: str, read: Callable[[bytes], T], data: bytes) -> T | None:
    """Return what `read` makes of a record, None where it raises WireError or ValueError; the log calls it `kind`."""
    try:
        return read(data)
    except (WireError, ValueError) as error:
        if kind not in _told:
            _told.add(kind)
            log.warning("unreadable %s in Redis left out error=%s", kind, error)
        return None


def name_of_bytes(name: bytes) -> str:
    """Return a name as Redis has it. One that is no text is the name of nobody."""
    return name.decode(errors="replace")


def read_amount(kind: str, data: bytes | None) -> float:
    """Return a number of at least 0 that Redis adds up; 0 where there is none, or none that can be read."""
    return 0.0 if data is None else read_or_none(kind, amount, data) or 0.0


def amount(data: bytes) -> float:
    """Return a finite number of at least 0. Raises ValueError."""
    if not 0 <= (number := float(data)) < math.inf:
        raise ValueError(f"a finite number of at least 0 expected, not {data!r}")
    return number


def whole(data: bytes) -> int:
    """Return a whole number of at least 0, as counts are. Raises ValueError."""
    if (number := int(data)) < 0:
        raise ValueError(f"a count expected, not {data!r}")
    return number
