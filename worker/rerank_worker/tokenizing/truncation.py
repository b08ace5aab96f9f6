"""Truncation: cuts a pair that does not fit, longest text first, as the `tokenizers` library does."""

from __future__ import annotations

from rerank_worker.tokenizing.tokens import Tokens

TRUNCATION = "longest_first"


def longest_first(first: int, second: int, room: int) -> tuple[int, int]:
    """Return the number of tokens kept of each text so that both fit in `room`, cutting the longer text first.

    As in the `tokenizers` library (truncate_encodings, LongestFirst): if both are cut, an odd token goes to the longer
    text.
    """
    if first + second <= room:
        return first, second
    short, long = min(first, second), max(first, second)
    long = short if short > room else max(short, room - short)
    if short + long > room:
        short = room // 2
        long = short + room % 2
    return (short, long) if first <= second else (long, short)


def needs_whole(query: Tokens, document: Tokens, room: int) -> bool:
    """Return whether heads do not show which text is longer, and so gets the odd token; see longest_first."""
    both_cut = len(query.ids) > room and len(document.ids) > room
    return room % 2 == 1 and both_cut and not (query.whole and document.whole)
