"""Consoles of the commands: answers go to stdout, everything else to stderr, so that an answer can be piped."""

from __future__ import annotations

from rich.console import Console

#: Texts are printed verbatim: markup and emoji codes in them are not interpreted.
out = Console(markup=False, emoji=False, highlight=False)
err = Console(markup=False, emoji=False, highlight=False, stderr=True, soft_wrap=True)
#: More than any terminal is wide.
_TEXT_CHARS = 1_000


def one_line(text: str) -> str:
    """Return the start of a text on one line, without control characters, which command a terminal."""
    head = " ".join(text[:_TEXT_CHARS].split())
    return "".join(character if character.isprintable() else "�" for character in head)
