"""Swaps: a few answers in which two neighbours change places, by which the pull of a rank is told from worth. Pure.

Which answers, and which neighbours, follows from the request's id alone, so that nothing has to be remembered: what
keeps feedback finds the swap by the same rule. The rank is drawn whatever the number of results, and an answer that is
too short for it stays as it is. So the answers that are swapped at a rank are drawn from all that have it.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TypeVar

T = TypeVar("T")

#: Ranks that take part: neighbours 1 and 2 up to 9 and 10.
DEPTH = 10


def swap_rank(request_id: str, share: float) -> int | None:
    """Return the rank that changes places with the next one, from 1; None for a request that is not among the `share`.

    A larger share has all requests of a smaller one.
    """
    if share <= 0:
        return None
    drawn = sha256(b"swap\0" + request_id.encode()).digest()
    if int.from_bytes(drawn[:8]) >= share * 2**64:
        return None
    return 1 + int.from_bytes(drawn[8:16]) % (DEPTH - 1)


def swapped(order: list[T], rank: int) -> list[T]:
    """Return an order with `rank` and the next one exchanged; as it is where it is shorter."""
    if rank >= len(order):
        return order
    return [*order[: rank - 1], order[rank], order[rank - 1], *order[rank + 1 :]]
