"""How urgent a job is. Whoever orders work orders by it, smallest first: the earliest deadline, bounded by age.

Work that has waited `aging_s` comes before all that is due later, so no patient job starves. The deadline itself, not
the slack that the predicted run leaves to it: slack puts the longest first among jobs that are due alike, and so keeps
fewer of their deadlines (docs/scheduling.md compares both).
"""

from __future__ import annotations


def due_at(*, deadline_at: float, entered_at: float, aging_s: float) -> float:
    """Return the moment, on the clock of the arguments."""
    return min(deadline_at, entered_at + aging_s)
