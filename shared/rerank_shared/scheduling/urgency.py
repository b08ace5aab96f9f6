"""How urgent a job is: the latest moment at which it should start. Whoever orders work orders by it, smallest first.

That is earliest slack first, since at any one moment slack (deadline - now - predicted run) differs from it by the same
amount for all. Work that can't be done whole before its deadline has no slack left to keep: what is done of it in time
is all it can have, so it is ordered by the deadline itself, and does not pass before what can still be kept. Age bounds
both: work that has waited `aging_s` comes before all that is due later, so neither a patient nor a long job starves.
"""

from __future__ import annotations


def due_at(*, deadline_at: float, run_s: float, entered_at: float, aging_s: float) -> float:
    """Return the moment, on the clock of the arguments; `run_s` is the predicted time from start to finish."""
    start_at = deadline_at - run_s
    if start_at < entered_at:
        start_at = deadline_at
    return min(start_at, entered_at + aging_s)
