"""One line of the doctor: what was looked at, how it is, and how to mend it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

Status = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """`fail`: something will not work. `warn`: it works, until a bad day. `fix` is None where the message has it."""

    name: str
    status: Status
    message: str
    fix: str | None = None

    def as_plain(self) -> dict[str, str | None]:
        """Return it as plain data, for JSON."""
        return asdict(self)
