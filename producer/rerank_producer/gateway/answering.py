"""From a call to its reply: the model is resolved, limits are checked, tokens are reserved, the fleet scores.

A call that the fleet refuses because it would be late goes to the upstream, where the operator has set one. The
reply warns of truncation, of a substituted model, of an upstream's answer, of fused scores and of unscored documents.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

from rerank_producer._dispatch.routes.own_model import naming_origin
from rerank_producer._request.response import with_swap
from rerank_producer.aio_client import AsyncRerankClient
from rerank_producer.apis.common.call import Problem, RerankCall, RerankReply
from rerank_producer.apis.common.problems import Refused
from rerank_producer.gateway.auth.keyring import ApiKey
from rerank_producer.gateway.auth.request_limits import RequestLimits
from rerank_producer.gateway.auth.token_bucket import Reservation, TokenBuckets
from rerank_producer.gateway.models.resolver import ResolvedModel, shown
from rerank_producer.gateway.overflow import Overflow, OverflowFailed
from rerank_producer.gateway.watch.latency import Latencies
from rerank_producer.handles import RerankHandle
from rerank_producer.request_options import RequestOptions
from rerank_shared.contract.messages import name_of
from rerank_shared.contract.schemas import MIN_LENGTH, FusionInfo, RerankResponse, StageInfo
from rerank_shared.deviations import TRUSTED_REQUESTS
from rerank_shared.errors import Overloaded, QueueUnavailable
from rerank_shared.routing.route import Limits
from rerank_shared.tracing.spans import current_span

log = logging.getLogger(__name__)
#: Calls of one request that are open at once.
_OPEN_CALLS = 32
#: A request that has not ended by itself so long after its deadline is given up.
_LATE_S = 5.0


class Models(Protocol):
    """Resolves the name of a model in a request; see ModelDirectory."""

    async def resolve(self, name: str | None, key: ApiKey | None = None) -> ResolvedModel:
        """Return it. Raises UnknownModel, and Refused where the key may not use it."""

    async def check_model(self, name: str, key: ApiKey | None) -> None:
        """Raise Refused unless the key may use the model of that name."""

    def limits(self, name: str | None) -> Limits:
        """Return the defaults of requests for a name."""


@dataclass(frozen=True, slots=True)
class _Aimed:
    """A call and the model or route that it goes to; None where its stages name the models."""

    call: RerankCall
    resolved: ResolvedModel | None


@dataclass(frozen=True, slots=True)
class Answering:
    """Answers calls. `models` resolves their models' names."""

    client: AsyncRerankClient
    buckets: TokenBuckets
    latencies: Latencies
    overflow: Overflow | None
    models: Models

    async def answer_all(self, calls: Sequence[RerankCall], limits: RequestLimits) -> list[RerankReply]:
        """Return the replies in order. The first call that fails fails the request, and the others are cancelled.

        Tokens of all calls are reserved together, so that none takes what another needs. Raises Refused, and what
        AsyncRerankClient.rerank raises with `partial="scored"`.
        """
        self._check_documents(sum(len(call.documents) for call in calls), limits)
        left_s = max((self._left_ms(call, limits) for call in calls), default=0.0) / 1000
        try:
            # The client keeps to the deadline; but where Redis neither answers nor refuses, requests wait for a turn.
            async with asyncio.timeout(max(0.0, left_s) + _LATE_S):
                aimed = [await self._aimed(call, limits) for call in calls]
                async with self.buckets.reserve(limits.key, [each.call for each in aimed], left_s) as reservation:
                    return await self._answer_each(aimed, limits, reservation)
        except TimeoutError:
            raise QueueUnavailable("the queue did not answer before the deadline") from None

    async def _answer_each(
        self, aimed: Sequence[_Aimed], limits: RequestLimits, reservation: Reservation
    ) -> list[RerankReply]:
        if len(aimed) == 1:
            return [await self._answer(aimed[0], limits, reservation)]
        turns = asyncio.Semaphore(_OPEN_CALLS)

        async def in_turn(each: _Aimed) -> RerankReply:
            async with turns:
                return await self._answer(each, limits, reservation)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(in_turn(each)) for each in aimed]
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return [task.result() for task in tasks]

    async def _answer(self, aimed: _Aimed, limits: RequestLimits, reservation: Reservation) -> RerankReply:
        started = time.monotonic()
        upstream: str | None = None
        call = aimed.call
        try:
            response = await self._rerank(aimed, limits)
        except Overloaded as refusal:
            response = await self._ask_upstream(call, limits, refusal)
            if call.job_class == "interactive":
                response = with_swap(response, self.client.settings.feedback_swap_share)
            upstream = None if self.overflow is None else self.overflow.host
        # Not sooner: pairs of a failed call may have been run all the same.
        reservation.add_used(response.usage.tokens)
        self.latencies.observe(len(call.documents), time.monotonic() - started)
        warnings = [*_warnings(aimed, response, upstream)]
        if upstream and self._asks_for_fusion(call, limits):
            warnings.append("first-stage scores did not count: an upstream's answer has no logits to fuse with them")
        return RerankReply(call, response, tuple(warnings), upstream, reservation.headers)

    async def _aimed(self, call: RerankCall, limits: RequestLimits) -> _Aimed:
        """Return a call with where it goes, which its key may use. Raises Refused, UnknownModel."""
        if not call.stages:
            resolved = await self.models.resolve(call.model, limits.key)
            return _Aimed(await self._bounded(call, [resolved.model]), resolved)
        names = [name for stage in call.stages if isinstance(name := stage.get("model"), str)]
        for name in names:
            await self.models.check_model(name, limits.key)
        return _Aimed(await self._bounded(call, names), None)

    async def _rerank(self, aimed: _Aimed, limits: RequestLimits) -> RerankResponse:
        call, options = aimed.call, self._options(aimed, limits)
        partial: Literal["scored", False] = "scored" if limits.partial else False
        with self._naming_origin(aimed):
            return await self.client.rerank(call.query, call.documents, partial=partial, **options)

    async def submit(self, call: RerankCall, limits: RequestLimits) -> tuple[RerankHandle, Mapping[str, str]]:
        """Enqueue a call for later; return its handle, and the key's level as headers. Raises as `answer_all`."""
        self._check_documents(len(call.documents), limits)
        aimed = await self._aimed(call, limits)
        # It costs its estimate, whatever is cached: this process does not wait for its usage.
        left_s = self._left_ms(call, limits, waits=False) / 1000
        async with self.buckets.reserve(limits.key, [aimed.call], left_s) as reservation:
            options = self._options(aimed, limits, waits=False)
            with self._naming_origin(aimed):
                handle = await self.client.submit(call.query, call.documents, **options)
        return handle, reservation.headers

    def _naming_origin(self, aimed: _Aimed) -> AbstractContextManager[None]:
        """Let an error say which setting chose the model: to the client every call names one."""
        own = aimed.resolved is not None and aimed.resolved.model == name_of(self.client.settings.model)
        return naming_origin(self.client.settings, named=bool(aimed.call.model) or not own)

    def _options(self, aimed: _Aimed, limits: RequestLimits, *, waits: bool = True) -> RequestOptions:
        call, resolved = aimed.call, aimed.resolved
        return {
            "top_n": call.top_n,
            "max_length": call.max_length,
            "deadline_ms": self._left_ms(call, limits, waits=waits),
            "job_class": call.job_class,
            "model": None if resolved is None else resolved.model,
            "stages": call.stages or None,
            "tenant": limits.tenant(call),
            "tokenizer_digest": call.tokenizer_digest,
            "cache_scope": limits.cache_scope(call),
            "fusion": limits.fusion(call),
            "fusion_weight": limits.fusion_weight(call),
            "fusion_ratio": call.fusion.ratio,
            "first_stage": call.fusion.first_stage,
            "first_stage_order": call.fusion.order,
            "scores": call.fusion.scores,
        }

    def _asks_for_fusion(self, call: RerankCall, limits: RequestLimits) -> bool:
        """Whether first-stage scores, or the order of the documents, would count in the fleet's answer."""
        if call.fusion.method is None and not call.has_first_stage_scores:
            return False
        return (limits.fusion(call) or self.client.settings.fusion) != "none"

    def _left_ms(self, call: RerankCall, limits: RequestLimits, *, waits: bool = True) -> float:
        by_route = self.models.limits(call.model).deadline_of(call.job_class)
        return limits.left_ms(call, self.client.settings, time.monotonic(), waits=waits, by_route=by_route)

    async def _ask_upstream(self, call: RerankCall, limits: RequestLimits, refusal: Overloaded) -> RerankResponse:
        if self.overflow is None:
            raise refusal
        current_span().event("asked the upstream", {"server.address": self.overflow.host})
        try:
            return await self.overflow.rerank(call, self._left_ms(call, limits) / 1000)
        except OverflowFailed as error:
            log.warning("the upstream failed host=%s error=%s", self.overflow.host, error)
            raise refusal from error

    async def _bounded(self, call: RerankCall, names: Sequence[str]) -> RerankCall:
        """Return the call with a `max_length` that its models have; without one while theirs is unknown."""
        if call.max_length is None:
            return call
        limits = [(await self.client.model_info(name)).max_length for name in names]
        known = [limit for limit in limits if limit is not None]
        return replace(call, max_length=max(MIN_LENGTH, min(*known, call.max_length)) if known else None)

    def refuse_flood(self, body: Any) -> None:
        """Raise Refused for a decoded body with a longer list than a request may have, before the list is validated."""
        fields = list(body.values()) if isinstance(body, dict) else []
        # Some APIs have their list one object deeper.
        fields += [value for inner in fields if isinstance(inner, dict) for value in inner.values()]
        lists = [value for value in fields if isinstance(value, list)]
        longest, limit = max(map(len, lists), default=0), self.client.settings.max_documents
        if longest > limit:
            raise _too_many(longest, limit)

    def _check_documents(self, count: int, limits: RequestLimits) -> None:
        """Raise Refused if a request has more documents, over all its calls, than the caller may send."""
        limit = min(self.client.settings.max_documents, limits.max_documents or count)
        if count > limit:
            raise _too_many(count, limit)


def _warnings(aimed: _Aimed, response: RerankResponse, upstream: str | None) -> Iterator[str]:
    call, resolved = aimed.call, aimed.resolved
    if upstream:
        yield f"the fleet was too busy for this deadline: {upstream} answered"
    elif resolved is not None and resolved.in_place_of is not None:
        yield f"{shown(resolved.in_place_of)} is not served here: {response.model.name} answered in its place"
    if response.fusion is not None:
        yield _fused(response.fusion)
    if truncated := sum(result.truncated for result in response.results):
        whose = _whose_limit(call.max_length, response.model.max_length)
        yield f"documents cut to what {whose}: {truncated} of {len(call.documents)}"
    yield from map(_staged, response.stages or ())
    if unscored := sum(not result.scored for result in response.results):
        share = f"{unscored} of {len(call.documents)}"
        order = "as they were sent" if response.fusion is None else "by their first-stage scores"
        yield f"documents not scored before the deadline, which stand last {order}: {share}"


def _staged(stage: StageInfo) -> str:
    """Return what a stage did; scores of two stages do not compare."""
    reason = "" if stage.reason is None else f" ({stage.reason})"
    return f"stage {stage.model}: {stage.scored} of {stage.documents} documents scored{reason}"


def _fused(fusion: FusionInfo) -> str:
    """Return what the scores are, and which method stood in."""
    told = f"scores are the model's fused with the first stage's: {fusion.applied}, weight {fusion.weight:g}"
    if fusion.applied == fusion.method:
        return told
    learned = fusion.learned_requests or 0
    return (
        f"{told}; in place of {fusion.method}, which has learned from {learned} of {TRUSTED_REQUESTS} requests so far"
    )


def _whose_limit(asked: int | None, models: int | None) -> str:
    """Return who limits the length of a pair, as the tail of a sentence."""
    if asked is not None and (models is None or asked < models):
        return f"the request allows, {asked} tokens a pair"
    return "the model reads"


def _too_many(count: int, limit: int) -> Refused:
    message = f"{count:,} documents were sent, and {limit:,} a request are the limit"
    return Refused(Problem(400, "invalid_request", message))
