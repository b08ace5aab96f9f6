"""Finding: one line of `rerank-fleet doctor`, with the part that was checked, its status and its remedy."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

Status = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check.

    `fail`: something does not work. `warn`: it works now and can fail later. `fix` is the remedy, None where the
    message contains it or none is needed.
    """

    name: str
    status: Status
    message: str
    fix: str | None = None

    def as_plain(self) -> dict[str, str | None]:
        """Return the finding as plain data, for JSON."""
        return asdict(self)
