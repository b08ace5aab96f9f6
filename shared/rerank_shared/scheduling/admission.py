"""What is refused at the door: a request that would miss its deadline however it is run, told before it costs anything.

A caller that takes what is scored in time is refused only if nothing would be; one that wants all or nothing, if not
all would be. Where nothing is known of the fleet's speed, nothing is refused.
"""

from __future__ import annotations

from dataclasses import dataclass

_RETRY_AFTER_MIN_S = 0.1
#: Predictions are right within some 15 %; what could still make it is let in.
_AT_BEST = 0.8


@dataclass(frozen=True, slots=True)
class Outlook:
    """A request's prospects in seconds: its wait for the first run, its own run, and what is left to its deadline."""

    wait_s: float
    run_s: float
    left_s: float

    def hopeless(self, *, partial: bool) -> bool:
        """Whether to refuse it."""
        return _AT_BEST * (self.wait_s + (0.0 if partial else self.run_s)) > max(0.0, self.left_s)

    @property
    def too_much(self) -> bool:
        """Whether its own run is longer than what is left, so that no waiting and no other process can help."""
        return _AT_BEST * self.run_s > max(0.0, self.left_s)

    @property
    def retry_after_s(self) -> float:
        """When the same request would fit if nothing else came: what waits shrinks by a second each second."""
        return max(_RETRY_AFTER_MIN_S, self.wait_s + self.run_s - self.left_s)
