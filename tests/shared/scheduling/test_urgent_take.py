"""What a full process still takes: a job more urgent than all that wait in it, and no question too often."""

from __future__ import annotations

from math import inf

import pytest

from rerank_shared.keys import JobClass
from rerank_shared.scheduling.urgent_take import ASK_EVERY_S, AskPace, first_due, must_beat


def test_the_first_of_each_class_counts() -> None:
    assert first_due([("interactive", 3.0), ("bulk", 1.0), ("interactive", 2.0)]) == {"interactive": 2.0, "bulk": 1.0}
    assert first_due([]) == {}


@pytest.mark.parametrize(
    ("first", "queued", "before"),
    [
        ({"interactive": 2.0, "bulk": 1.0}, True, 2.0),
        ({"interactive": 2.0}, False, 2.0),
        ({"bulk": 1.0}, True, inf),
        ({"bulk": 1.0}, False, 1.0),
        ({}, True, inf),
        ({}, False, None),
    ],
)
def test_any_interactive_job_is_more_urgent_than_bulk(
    first: dict[JobClass, float], queued: bool, before: float | None
) -> None:
    assert must_beat(first, interactive_queued=lambda: queued) == before


def test_the_queue_is_not_asked_for_what_does_not_matter() -> None:
    def fail() -> bool:
        raise AssertionError("asked")

    assert must_beat({"interactive": 2.0}, interactive_queued=fail) == 2.0


def test_a_process_may_ask_again_after_a_while() -> None:
    pace = AskPace()
    assert pace.is_due(5.0)
    pace.asked(5.0)
    assert not pace.is_due(5.0 + ASK_EVERY_S / 2)
    assert pace.is_due(5.0 + ASK_EVERY_S)
