"""How urgent a job is. Whoever orders work orders by it, smallest first: the earliest deadline, bounded by age.

Work that has waited `aging_s` comes before all that is due later, so no patient job starves. The deadline itself, not
the slack that the predicted run leaves to it: slack puts the longest first among jobs that are due alike, and so keeps
fewer of their deadlines (docs/scheduling.md compares both).
"""

from __future__ import annotations

#: Time kept for the way back: one round trip to Redis and the caller's wake-up; and for each pair what packing,
#: sending, unpacking and sorting its score takes (10,000 of them together 0.1 s on one 2.5 GHz core).
REPLY_MARGIN_S = 0.025
REPLY_MARGIN_PER_PAIR_S = 20e-6


def due_at(*, deadline_at: float, entered_at: float, aging_s: float) -> float:
    """Return the moment, on the clock of the arguments."""
    return min(deadline_at, entered_at + aging_s)


def answer_by(
    deadline_at: float, pairs: int, *, margin_s: float = REPLY_MARGIN_S, per_pair_s: float = REPLY_MARGIN_PER_PAIR_S
) -> float:
    """Return when a worker answers a job of so many pairs at the latest, so that the caller has it by its deadline."""
    return deadline_at - margin_s - per_pair_s * pairs
