"""Submit now, collect later: POST, GET and DELETE of /v1/jobs, in the native shape.

A job belongs to the tenant whose key submitted it; to others it does not exist.
"""

from __future__ import annotations

import contextlib
import math
import re
from typing import Any, Literal, Protocol

from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from rerank_producer.apis.common.call import Problem
from rerank_producer.apis.common.problems import Refused
from rerank_producer.apis.fleet import FLEET, FleetErrorInfo
from rerank_producer.gateway.auth.request_limits import limits_of
from rerank_producer.gateway.http.disconnect import while_connected
from rerank_producer.gateway.http.headers import REQUEST_ID
from rerank_producer.gateway.routes.exchange import Exchange, served
from rerank_producer.gateway.routes.openapi import DEADLINE_HEADER, REFUSALS, REQUEST_ID_HEADER
from rerank_producer.gateway.routes.operation import Operation, Parameter, Success
from rerank_producer.handles import JobState, JobStatus
from rerank_shared.contract.schemas import RerankResponse
from rerank_shared.errors import DeadlineExceeded, JobLost, QueueUnavailable, RerankError, WireError

#: A longer wait than this runs into the time-outs of proxies.
WAIT_MAX_MS = 30_000.0
_JOB_ID = re.compile(r"[0-9a-f]{32}")


class Collects(Protocol):
    """The part of the fleet's client that collects jobs."""

    async def collect(self, handle: str, *, timeout_ms: float) -> RerankResponse: ...
    async def status(self, handle: str) -> JobStatus: ...


class JobSubmitted(BaseModel):
    """A job that was enqueued."""

    id: str
    status: Literal["waiting"]


class JobView(BaseModel):
    """A job as it stands. Times are epoch seconds."""

    id: str
    status: JobState = Field(description="late: its deadline passed without an answer.")
    submitted_at: float
    deadline_at: float
    response: RerankResponse | None = Field(None, description="Where it is done; results have ids, not metadata.")
    error: FleetErrorInfo | None = Field(None, description="Where it failed or is late.")


async def _submit(exchange: Exchange) -> Response:
    with exchange.gateway.open_request():
        key = exchange.key()
        body = await exchange.body(key)
        exchange.gateway.answering.refuse_flood(body)
        parsed = FLEET.parse(body)
        (call,) = parsed.calls
        work = exchange.gateway.answering.submit(call, limits_of(key, exchange.request.headers, exchange.started))
        handle, rate_headers = await while_connected(exchange.request.receive, work)
        headers = {"location": f"{exchange.request.url.path.rstrip('/')}/{handle}", **rate_headers}
        return exchange.respond({"id": handle.job_id, "status": "waiting"}, status=202, headers=headers)


async def _collect(exchange: Exchange) -> Response:
    with exchange.gateway.open_request():
        wait_ms = _wait_ms(exchange.request)
        job = await _own(exchange)
        content: dict[str, Any] = {"id": job.job_id, "status": job.state}
        if job.state != "waiting" or wait_ms > 0:
            work = outcome(exchange.gateway.client, job.job_id, wait_ms)
            content["status"], found = await while_connected(exchange.request.receive, work)
            if isinstance(found, RerankError):
                problem = exchange.problem(found)
                content["error"] = {"code": problem.code, "message": problem.message, "retryable": problem.retryable}
            elif found is not None:
                content["response"] = found
        return exchange.respond(content | {"submitted_at": job.submitted_at, "deadline_at": job.deadline_at})


async def outcome(
    client: Collects, job_id: str, wait_ms: float
) -> tuple[JobState, RerankResponse | RerankError | None]:
    """Return how a job stands after `wait_ms` at most, with its answer or error once it has one.

    Raises QueueUnavailable and WireError, which say nothing of the job itself.
    """
    try:
        return "done", await client.collect(job_id, timeout_ms=wait_ms)
    except (QueueUnavailable, WireError):
        raise
    except DeadlineExceeded as error:
        state = (await client.status(job_id)).state
        if state == "waiting":
            return state, None
        if state != "late" and wait_ms > 0:
            # Answered just after the wait was over.
            return await outcome(client, job_id, 0.0)
        return "late", error
    except RerankError as error:
        return "failed", error


async def _revoke(exchange: Exchange) -> Response:
    with exchange.gateway.open_request():
        status = await _own(exchange)
        await exchange.gateway.client.cancel(status.job_id)
        return Response(status_code=204, headers={REQUEST_ID: exchange.request_id})


async def _own(exchange: Exchange) -> JobStatus:
    """Return the status of the job that the path names, if it is the caller's. Raises Refused."""
    key = exchange.key()
    job_id = str(exchange.request.path_params["job_id"])
    status = None
    if _JOB_ID.fullmatch(job_id):
        with contextlib.suppress(JobLost):
            status = await exchange.gateway.client.status(job_id)
    if status is None or (key is not None and status.tenant != key.tenant):
        raise Refused(Problem(404, "job_lost", "no such job, or its answer was kept for its time and is gone"))
    return status


def _wait_ms(request: Request) -> float:
    given = request.query_params.get("wait_ms", "0")
    try:
        value = float(given)
    except ValueError:
        value = math.nan
    if not 0 <= value <= WAIT_MAX_MS:
        raise Refused(Problem(400, "invalid_request", f"wait_ms: a number from 0 to {WAIT_MAX_MS:.0f} expected"))
    return value


_JOB_ID_IN_PATH: Parameter = {"name": "job_id", "in": "path", "required": True, "schema": {"type": "string"}}
_WAIT_MS: Parameter = {
    "name": "wait_ms",
    "in": "query",
    "schema": {"type": "number", "minimum": 0, "maximum": WAIT_MAX_MS},
}
OPERATIONS = (
    Operation(
        "/v1/jobs",
        served(FLEET, _submit),
        operation_id="submit_job",
        summary="Submit a request, to be collected later",
        methods=("POST",),
        parameters=(REQUEST_ID_HEADER, DEADLINE_HEADER),
        requests=(FLEET.request,),
        success=Success((JobSubmitted,), status=202),
        errors=(FLEET.error,),
        refusals=REFUSALS,
    ),
    Operation(
        "/v1/jobs/{job_id}",
        served(FLEET, _collect),
        operation_id="collect_job",
        summary="How a job stands, with its answer once there is one",
        description="With `wait_ms` it waits so long for the answer.",
        parameters=(_JOB_ID_IN_PATH, _WAIT_MS),
        success=Success((JobView,)),
        errors=(FLEET.error,),
        refusals=(400, 401, 403, 404, 500, 502, 503),
    ),
    Operation(
        "/v1/jobs/{job_id}",
        served(FLEET, _revoke),
        operation_id="revoke_job",
        summary="Drop a job",
        methods=("DELETE",),
        parameters=(_JOB_ID_IN_PATH,),
        success=Success(status=204, description="Successful Response", media_type=None),
        errors=(FLEET.error,),
        refusals=(401, 403, 404, 500, 502, 503),
    ),
)
