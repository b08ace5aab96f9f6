"""Urgency: the moment by which all work is ordered, smallest first. It is the deadline, bounded by age.

Work that has waited `aging_s` comes before all that is due later, so no patient job starves. Urgency is the deadline,
not the slack that the predicted run leaves: slack puts the longest job first among jobs that are due alike, and so
keeps fewer of their deadlines (docs/scheduling.md compares both).
"""

from __future__ import annotations

#: Time kept for the reply: one round trip to Redis and waking the caller; and for each pair the time to pack, send,
#: unpack and sort its score (10,000 of them together 0.1 s on one 2.5 GHz core).
REPLY_MARGIN_S = 0.025
REPLY_MARGIN_PER_PAIR_S = 20e-6


def due_at(*, deadline_at: float, entered_at: float, aging_s: float) -> float:
    """Return the urgency in seconds, on the clock of the arguments."""
    return min(deadline_at, entered_at + aging_s)


def answer_by(
    deadline_at: float, pairs: int, *, margin_s: float = REPLY_MARGIN_S, per_pair_s: float = REPLY_MARGIN_PER_PAIR_S
) -> float:
    """Return the latest moment to answer a job of so many pairs, so that the caller has the answer by its deadline."""
    return deadline_at - margin_s - per_pair_s * pairs
