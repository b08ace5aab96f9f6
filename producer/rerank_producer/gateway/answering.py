"""From an `Ask` to an `Answer`: which model stands for the one named, limits, payment, the fleet or an upstream.

What the fleet refuses because it would be late goes to the upstream, where the operator has set one. What a caller
should know about its answer, and would not read from the scores, becomes a warning.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from rerank_producer.aio_client import AsyncRerankClient
from rerank_producer.gateway.apis.ask import Answer, Ask, Problem
from rerank_producer.gateway.auth.rate import Bill, Meter
from rerank_producer.gateway.auth.terms import Terms
from rerank_producer.gateway.http.refused import Refused
from rerank_producer.gateway.models.naming import Named, shown
from rerank_producer.gateway.overflow import Overflow, OverflowFailed
from rerank_producer.gateway.watch.latency import Latencies
from rerank_producer.handles import RerankHandle
from rerank_shared.contract.schemas import MIN_LENGTH, RerankResponse
from rerank_shared.errors import DeadlineExceeded, Overloaded, QueueUnavailable

log = logging.getLogger(__name__)
#: Asks of one request that are open at once.
_OPEN_ASKS = 32
#: How long after its deadline a request is given up that should have ended by itself.
_LATE_S = 5.0


class Models(Protocol):
    """Which model answers for a name in a request; see ServedModels."""

    async def named(self, name: str | None) -> Named:
        """Return it. Raises UnknownModel."""


@dataclass(frozen=True, slots=True)
class Answering:
    """Answers asks. `models` knows which model answers for a name."""

    client: AsyncRerankClient
    meter: Meter
    latencies: Latencies
    overflow: Overflow | None
    models: Models

    async def answer_all(self, asks: Sequence[Ask], terms: Terms) -> list[Answer]:
        """Return the answers in order; the first ask that fails fails all, and the others are cancelled.

        They are paid together, so that one does not spend what another needs. Raises Refused, and what
        AsyncRerankClient.rerank raises; DeadlineExceeded also where nothing was scored.
        """
        self._check_documents(sum(len(ask.documents) for ask in asks), terms)
        left_s = max((self._left_ms(ask, terms) for ask in asks), default=0.0) / 1000
        try:
            # The client keeps to the deadline; but where Redis neither answers nor refuses, requests wait for a turn.
            async with asyncio.timeout(max(0.0, left_s) + _LATE_S):
                asks = [await self._bounded(ask) for ask in asks]
                async with self.meter.paying(terms.key, asks) as bill:
                    return await self._answer_each(asks, terms, bill)
        except TimeoutError:
            raise QueueUnavailable("the queue did not answer before the deadline") from None

    async def _answer_each(self, asks: Sequence[Ask], terms: Terms, bill: Bill) -> list[Answer]:
        if len(asks) == 1:
            return [await self._answer(asks[0], terms, bill)]
        turns = asyncio.Semaphore(_OPEN_ASKS)

        async def in_turn(ask: Ask) -> Answer:
            async with turns:
                return await self._answer(ask, terms, bill)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(in_turn(ask)) for ask in asks]
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return [task.result() for task in tasks]

    async def _answer(self, ask: Ask, terms: Terms, bill: Bill) -> Answer:
        started = time.monotonic()
        upstream: str | None = None
        named = await self.models.named(ask.model)
        try:
            response = await self._rerank(ask, named.model, terms)
        except Overloaded as refusal:
            response = await self._elsewhere(ask, terms, refusal)
            upstream = None if self.overflow is None else self.overflow.host
        if response.results and not any(result.scored for result in response.results):
            raise DeadlineExceeded(
                f"none of the {len(ask.documents)} documents was scored before the deadline. Allow a longer one "
                "(header X-Rerank-Deadline-Ms) or send fewer documents"
            )
        # Not sooner: what nothing came of may have been run all the same.
        bill.used(response.usage.tokens)
        self.latencies.observe(len(ask.documents), time.monotonic() - started)
        return Answer(ask, response, tuple(_warnings(ask, named, response, upstream)), upstream, bill.headers)

    async def _rerank(self, ask: Ask, model: str, terms: Terms) -> RerankResponse:
        return await self.client.rerank(
            ask.query,
            ask.documents,
            top_n=ask.top_n,
            max_length=ask.max_length,
            deadline_ms=self._left_ms(ask, terms),
            job_class=ask.job_class,
            model=model,
            tenant=terms.tenant(ask),
            tokenizer_digest=ask.tokenizer_digest,
            cache_scope=terms.cache_scope(ask),
            partial=terms.partial,
        )

    async def submit(self, ask: Ask, terms: Terms) -> tuple[RerankHandle, Mapping[str, str]]:
        """Enqueue an ask for later; returns what the caller's key has left too, as headers. Raises as `answer_all`."""
        self._check_documents(len(ask.documents), terms)
        ask = await self._bounded(ask)
        # Paid by its estimate, whatever is cached: nobody waits here for what it will have cost.
        async with self.meter.paying(terms.key, [ask]) as bill:
            handle = await self.client.submit(
                ask.query,
                ask.documents,
                top_n=ask.top_n,
                max_length=ask.max_length,
                deadline_ms=self._left_ms(ask, terms, waits=False),
                job_class=ask.job_class,
                model=(await self.models.named(ask.model)).model,
                tenant=terms.tenant(ask),
                tokenizer_digest=ask.tokenizer_digest,
                cache_scope=terms.cache_scope(ask),
            )
        return handle, bill.headers

    def _left_ms(self, ask: Ask, terms: Terms, *, waits: bool = True) -> float:
        return terms.left_ms(ask, self.client.settings, time.monotonic(), waits=waits)

    async def _elsewhere(self, ask: Ask, terms: Terms, refusal: Overloaded) -> RerankResponse:
        if self.overflow is None:
            raise refusal
        try:
            return await self.overflow.ask(ask, self._left_ms(ask, terms) / 1000)
        except OverflowFailed as error:
            log.warning("overflow failed host=%s error=%s", self.overflow.host, error)
            raise refusal from error

    async def _bounded(self, ask: Ask) -> Ask:
        """Return the ask with a `max_length` that its model has; without one while no worker has told the model's."""
        if ask.max_length is None:
            return ask
        named = await self.models.named(ask.model)
        limit = (await self.client.model_info(named.model)).max_length
        return replace(ask, max_length=None if limit is None else max(MIN_LENGTH, min(limit, ask.max_length)))

    def refuse_flood(self, body: Any) -> None:
        """Raise Refused for a decoded body that lists more than a request may have, before each of it is looked at."""
        fields = list(body.values()) if isinstance(body, dict) else []
        # Some APIs have their list one object deeper.
        fields += [value for inner in fields if isinstance(inner, dict) for value in inner.values()]
        lists = [value for value in fields if isinstance(value, list)]
        longest, limit = max(map(len, lists), default=0), self.client.settings.max_documents
        if longest > limit:
            raise _too_many(longest, limit)

    def _check_documents(self, count: int, terms: Terms) -> None:
        """Raise Refused if that many documents are more than the caller may send at once, over all asks."""
        limit = min(self.client.settings.max_documents, terms.max_documents or count)
        if count > limit:
            raise _too_many(count, limit)


def _warnings(ask: Ask, named: Named, response: RerankResponse, upstream: str | None) -> Iterator[str]:
    if upstream:
        yield f"the fleet was too busy for this deadline: {upstream} answered"
    elif named.in_place_of is not None:
        yield f"{shown(named.in_place_of)} is not served here: {response.model.name} answered in its place"
    if truncated := sum(result.truncated for result in response.results):
        whose = _whose_limit(ask.max_length, response.model.max_length)
        yield f"documents cut to what {whose}: {truncated} of {len(ask.documents)}"
    if not response.complete:
        unscored = sum(not result.scored for result in response.results)
        told = f"{unscored} of {len(ask.documents)}"
        yield f"documents not scored before the deadline, which stand last as they were sent: {told}"


def _whose_limit(asked: int | None, models: int | None) -> str:
    """Return who said how much of a pair is read, as the tail of a sentence."""
    if asked is not None and (models is None or asked < models):
        return f"the request allows, {asked} tokens a pair"
    return "the model reads"


def _too_many(count: int, limit: int) -> Refused:
    message = f"{count:,} documents were sent, and {limit:,} a request are the limit"
    return Refused(Problem(400, "invalid_request", message))
