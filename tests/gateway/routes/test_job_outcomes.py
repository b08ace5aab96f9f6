"""What is told of a job whose end falls together with that of the wait for it."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from rerank_producer.gateway.routes.jobs import outcome
from rerank_producer.handles import JobState, JobStatus
from rerank_shared.contract.schemas import ModelInfo, RerankResponse, Timings, Usage
from rerank_shared.errors import DeadlineExceeded, QueueUnavailable, RerankError, ScoringFailed, WireError

RESPONSE = RerankResponse(
    id="job", results=[], complete=True, model=ModelInfo(name="m"), timings=Timings(), usage=Usage()
)
LATE, BROKEN = DeadlineExceeded("too late"), ScoringFailed("not a number")


@dataclass
class Script:
    """A client that finds of one job what stands here, one after the other."""

    outcomes: list[RerankResponse | RerankError]
    states: list[JobState]
    waits_ms: list[float] = field(default_factory=list)

    async def collect(self, handle: str, *, timeout_ms: float) -> RerankResponse:
        self.waits_ms.append(timeout_ms)
        found = self.outcomes.pop(0)
        if isinstance(found, RerankError):
            raise found
        return found

    async def status(self, handle: str) -> JobStatus:
        return JobStatus(handle, self.states.pop(0), "interactive", "", 1.0, 2.0)


@pytest.mark.parametrize(
    ("outcomes", "states", "expected"),
    [
        ([RESPONSE], [], ("done", RESPONSE)),
        ([BROKEN], [], ("failed", BROKEN)),
        ([LATE], ["waiting"], ("waiting", None)),
        ([LATE], ["late"], ("late", LATE)),
        ([LATE, RESPONSE], ["done"], ("done", RESPONSE)),
        ([LATE, BROKEN], ["failed"], ("failed", BROKEN)),
        ([LATE, LATE], ["done", "done"], ("late", LATE)),
    ],
    ids=["in time", "fails in time", "waits on", "is late", "ends just after", "fails just after", "incomplete"],
)
async def test_a_job_that_ends_with_the_wait_is_not_called_late(
    outcomes: list[RerankResponse | RerankError],
    states: list[JobState],
    expected: tuple[JobState, RerankResponse | RerankError | None],
) -> None:
    script = Script(outcomes, states)
    assert await outcome(script, "job", 50.0) == expected
    assert not script.outcomes
    assert script.waits_ms[1:] in ([], [0.0])


@pytest.mark.parametrize("error", [QueueUnavailable("away"), WireError("newer")])
async def test_an_outage_says_nothing_of_the_job(error: RerankError) -> None:
    with pytest.raises(type(error)):
        await outcome(Script([error], []), "job", 50.0)
