"""Texts of a report: the first words of long ones, and figures as they are written. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from rerank_shared.contract.schemas import encodable

#: Joins emoji and letters; a text is not cut beside one.
_JOINER = "\u200d"


def first_words(text: str, most: int) -> str:
    """Return at most `most` characters of a text in one line, cut at a blank if one is near, else between letters."""
    line = in_one_line(text)
    if len(line) <= most:
        return line
    end = most - 1
    while end > 0 and (_JOINER in line[end - 1 : end + 1] or _joins(line[end])):
        end -= 1
    blank = line.rfind(" ", end - most // 5, end + 1)
    return f"{line[: blank if blank > 0 else end or most - 1].rstrip()}…"


def in_one_line(text: str) -> str:
    """Return a text without line breaks, control characters and lone surrogates, none of which HTML can hold."""
    shown = (" " if unicodedata.category(letter) == "Cc" else letter for letter in encodable(text))
    return " ".join("".join(shown).split())


def signed(value: float, decimals: int = 3) -> str:
    """Return a difference with its sign, a true minus where it is negative; 0 has none."""
    text = f"{abs(value):.{decimals}f}"
    if not float(text):
        return text
    return f"{'+' if value > 0 else '−'}{text}"


def counted(count: int, one: str, many: str = "") -> str:
    """Return a number with its noun; `many` is its plural where that is not made with an s."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def listed(names: Sequence[str]) -> str:
    """Return names as they stand in a sentence."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _joins(letter: str) -> bool:
    """Return whether a letter belongs to the one before it: an accent, a skin tone, a variation of an emoji."""
    return unicodedata.category(letter) in ("Mn", "Mc", "Me", "Sk") or letter == _JOINER
