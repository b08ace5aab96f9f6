"""One request's way through the gateway: key, body, shape, fleet, answer. What goes wrong is told in the API's shape.

A body is refused by its size before it is read, and read before it is parsed; nothing is asked of the fleet before all
of the request is understood; nothing is computed for a client that has hung up.
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

from rerank_producer.gateway.apis import dialect
from rerank_producer.gateway.apis.ask import Api, Problem
from rerank_producer.gateway.apis.paths import Choose
from rerank_producer.gateway.auth.keyring import ApiKey
from rerank_producer.gateway.auth.terms import terms_of
from rerank_producer.gateway.gateway import Gateway
from rerank_producer.gateway.http.body import decode_json, read_body
from rerank_producer.gateway.http.disconnect import while_connected
from rerank_producer.gateway.http.headers import REQUEST_ID, answer_headers, problem_headers, request_id, tei_headers
from rerank_producer.gateway.http.problems import problem_of
from rerank_producer.gateway.http.refused import ClientGone, Refused

log = logging.getLogger(__name__)
#: As nginx logs it; nobody is there to read it.
CLIENT_GONE = 499
Handler = Callable[[Request], Awaitable[Response]]


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
        self.gateway.visitors.check(self.request.headers)
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
        """Return a problem in an API's shape."""
        status, content = api.problem(problem, self.request_id)
        return self.respond(content, status=status, headers=problem_headers(problem))

    async def guarded(self, api: Api, work: Awaitable[Response]) -> Response:
        """Return what `work` returns, or what became of it in the API's shape."""
        try:
            return await work
        except ClientGone:
            return Response(status_code=CLIENT_GONE)
        except Refused as refused:
            return self.refuse(api, refused.problem)
        except Exception as error:
            return self.refuse(api, self.problem(error))

    def problem(self, error: Exception) -> Problem:
        """Return what to tell of an error; what is nobody's fault but ours is logged."""
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
    """Return the handler that does `work`; what goes wrong is told in the shape of `api`."""

    async def handle(request: Request) -> Response:
        exchange = Exchange.of(request)
        return await exchange.guarded(api, work(exchange))

    return handle


def served_rerank(default: Api, choose: Choose | None = None) -> Handler:
    """Return the handler of a path where reranks come in; `choose` tells by the body which API it is of several."""
    return served(default, lambda exchange: _rerank(exchange, default, choose))


async def _rerank(exchange: Exchange, default: Api, choose: Choose | None) -> Response:
    with exchange.gateway.open_request():
        key = exchange.key()
        body = await exchange.body(key)
        api = default if choose is None else choose(body, exchange.request.headers.get(dialect.HEADER))
        # From here on in the shape of the API that it turned out to be.
        return await exchange.guarded(api, _answer(exchange, api, body, key))


async def _answer(exchange: Exchange, api: Api, body: Any, key: ApiKey | None) -> Response:
    exchange.gateway.answering.refuse_flood(body)
    parsed = api.parse(body)
    terms = terms_of(key, exchange.request.headers, exchange.started)
    work = exchange.gateway.answering.answer_all(parsed.asks, terms)
    answers = await while_connected(exchange.request.receive, work)
    content = parsed.render(exchange.request_id, answers)
    total_ms = (time.monotonic() - exchange.started) * 1000
    headers = answer_headers(answers, total_ms)
    if api.name == "tei":
        headers |= tei_headers(answers, total_ms)
    return exchange.respond(content, headers=headers)
