"""How urgent a job is: the latest moment at which it should start. Whoever orders work orders by it, smallest first.

That is earliest slack first, since at any one moment slack (deadline - now - predicted run) differs from it by the same
amount for all. Age bounds it: however far its deadline, a job that has waited `aging_s` comes before all that is due
later, so neither a patient job nor a long one can starve.
"""

from __future__ import annotations


def due_at(*, deadline_at: float, run_s: float, entered_at: float, aging_s: float) -> float:
    """Return the moment, on the clock of the arguments; `run_s` is the predicted time from start to finish."""
    return min(deadline_at - run_s, entered_at + aging_s)
