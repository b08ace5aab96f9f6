"""Which rules a simulated fleet follows, so that each can be taken away and its worth be seen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from rerank_shared.errors import InvalidRequest

Order = Literal["edf", "fifo"]
_SWITCHES = ("shard", "refuse", "intake", "floor")


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules. `order` edf: most urgent first, tenants by the tokens they had; fifo: as they came, tenants not told
    apart. `intake` off: a process takes what its threads allow. `floor` off: bulk runs only when nothing else waits."""

    order: Order = "edf"
    shard: bool = True
    refuse: bool = True
    intake: bool = True
    floor: bool = True

    def varied(self, words: str) -> Policy:
        """Return this policy changed by words: edf, fifo, and shard, refuse, intake, floor or no- before one of them,
        with + between. Raises InvalidRequest."""
        policy = self
        for word in words.split("+"):
            name = word.removeprefix("no-")
            if word in ("edf", "fifo"):
                changed: dict[str, Any] = {"order": word}
            elif name in _SWITCHES:
                changed = {name: name == word}
            else:
                known = ", ".join(("edf", "fifo", *_SWITCHES))
                raise InvalidRequest(f"policy {words!r}: {word!r} is none of {known}, nor one of them after no-")
            policy = replace(policy, **changed)
        return policy
