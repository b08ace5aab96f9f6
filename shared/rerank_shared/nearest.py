"""Nearest name: suggests the known name that was probably meant, for a name that is not in a closed set."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

#: A longer value is no misspelt name, but a text in the wrong place.
_MOST_CHARACTERS = 128


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most like `name`, None where none is much like it. Case is ignored."""
    if len(name) > _MOST_CHARACTERS:
        return None
    by_folded = {each.casefold(): each for each in known}
    found = difflib.get_close_matches(name.casefold(), by_folded, n=1)
    return by_folded[found[0]] if found else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the end of a sentence that refuses `name`: "; did you mean x?", empty where no known name is like it."""
    meant = nearest(name, known)
    return "" if meant is None else f"; did you mean {meant}?"
