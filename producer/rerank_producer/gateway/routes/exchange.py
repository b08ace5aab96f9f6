"""One HTTP exchange: the caller's key, the decoded body, the response, and errors in the shape of an API.

A body is refused by its size before it is read, and read before it is parsed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from rerank_producer.apis.common.call import Api, Problem
from rerank_producer.apis.common.problems import ClientGone, Refused, problem_of
from rerank_producer.gateway.auth.keyring import ApiKey
from rerank_producer.gateway.gateway import Gateway
from rerank_producer.gateway.http.body import decode_json, read_body
from rerank_producer.gateway.http.headers import REQUEST_ID, problem_headers, request_id
from rerank_producer.gateway.models.allowed import told_to
from rerank_producer.gateway.routes.operation import Handler
from rerank_shared.errors import UnknownModel

log = logging.getLogger(__name__)
#: Nginx's status for it; no client is left to read it.
CLIENT_GONE = 499


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request while it is served."""

    gateway: Gateway
    request: Request
    request_id: str
    started: float

    @classmethod
    def of(cls, request: Request) -> Exchange:
        """Return the exchange that a request begins."""
        return cls(request.app.state.gateway, request, request_id(request.headers), time.monotonic())

    def key(self) -> ApiKey | None:
        """Return the caller's API key, None where no keys are set. Raises Refused."""
        keyring = self.gateway.keyring
        if keyring is not None:
            return keyring.find(self.request.headers)
        self.gateway.origin_policy.check(self.request.headers)
        return None

    async def body(self, key: ApiKey | None) -> Any:
        """Return the decoded body. Raises Refused and ClientGone."""
        settings = self.gateway.settings
        limit_bytes = settings.max_body_bytes
        if key is not None and key.max_body_bytes is not None:
            limit_bytes = min(limit_bytes, key.max_body_bytes)
        raw = await read_body(
            self.request.receive, self.request.headers, limit_bytes=limit_bytes, timeout_s=settings.body_timeout_s
        )
        return decode_json(raw)

    def respond(self, content: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
        """Return a JSON response with the request's id."""
        return Response(
            to_json(content),
            status_code=status,
            media_type="application/json",
            headers={REQUEST_ID: self.request_id, **(headers or {})},
        )

    def refuse(self, api: Api, problem: Problem) -> Response:
        """Return the response to a problem, in the API's shape."""
        status, content = api.problem(problem, self.request_id)
        return self.respond(content, status=status, headers=problem_headers(problem))

    async def guarded(self, api: Api, work: Awaitable[Response]) -> Response:
        """Return the response of `work`, or the API's error response for what `work` raised."""
        try:
            return await work
        except ClientGone:
            return Response(status_code=CLIENT_GONE)
        except Refused as refused:
            return self.refuse(api, refused.problem)
        except Exception as error:
            return self.refuse(api, self.problem(error))

    def problem(self, error: Exception) -> Problem:
        """Return what the caller is told of an error; log it where the fault is on this side."""
        keyring = self.gateway.keyring
        if isinstance(error, UnknownModel) and keyring is not None:
            try:
                error = told_to(keyring.find(self.request.headers), error)
            except Refused as refused:
                # The key was revoked meanwhile.
                return refused.problem
        problem = problem_of(error)
        if problem.status >= 500:
            known = problem.code != "internal_error"
            log.log(
                logging.WARNING if known else logging.ERROR,
                "request failed id=%s path=%s code=%s error=%s",
                self.request_id,
                self.request.url.path,
                problem.code,
                error,
                exc_info=None if known else error,
            )
        return problem


def served(api: Api, work: Callable[[Exchange], Awaitable[Response]]) -> Handler:
    """Return the handler that does `work`; errors have the shape of `api`."""

    async def handle(request: Request) -> Response:
        exchange = Exchange.of(request)
        return await exchange.guarded(api, work(exchange))

    return handle
