"""Which tokens of a pair are kept where it does not fit: longest first, as the reference does."""

from __future__ import annotations

from rerank_worker.tokenizing.tokens import Tokens

TRUNCATION = "longest_first"


def longest_first(first: int, second: int, room: int) -> tuple[int, int]:
    """Return how many tokens of each text are kept so that both fit in `room`, taking from the longer one first.

    As in the `tokenizers` library (truncate_encodings, LongestFirst); where both are cut, an odd token goes to the
    text that was longer.
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
    """Whether heads can't tell which text is the longer one, and so which gets the odd token; see longest_first."""
    both_cut = len(query.ids) > room and len(document.ids) > room
    return room % 2 == 1 and both_cut and not (query.whole and document.whole)
