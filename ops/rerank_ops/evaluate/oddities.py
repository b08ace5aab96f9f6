"""Oddities of data: what was left out or looks wrong, counted, with a few names of each. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Oddity:
    """Something odd, how often it was met, and the first few names."""

    what: str
    count: int
    examples: tuple[str, ...]

    def __str__(self) -> str:
        more = ", …" if self.count > len(self.examples) else ""
        return f"{self.what}: {self.count:,} ({', '.join(self.examples)}{more})"


class Oddities:
    """Counts while data are read; each kind is listed once, in the order in which it was met first."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, list[str]]] = {}

    def note(self, what: str, names: Iterable[str]) -> None:
        """Count some names of one kind; of none, nothing is noted."""
        for name in names:
            count, examples = self._found.get(what, (0, []))
            if count < _SHOWN:
                examples.append(name)
            self._found[what] = (count + 1, examples)

    def listed(self) -> tuple[Oddity, ...]:
        """Return all that was noted."""
        return tuple(Oddity(what, count, tuple(examples)) for what, (count, examples) in self._found.items())
