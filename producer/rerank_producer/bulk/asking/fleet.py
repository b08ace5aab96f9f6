"""The fleet as a bulk run sees it: asks one request until it is answered, and says what it waits for."""

from __future__ import annotations

import asyncio
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rerank_producer.aio_client import AsyncRerankClient
from rerank_producer.bulk.asking.patience import Again, GiveUp, verdict
from rerank_producer.bulk.asking.window import FleetSpeed
from rerank_shared.contract.messages import ScoringIdentity, name_of
from rerank_shared.contract.schemas import RerankRequest, RerankResponse
from rerank_shared.errors import FleetGone, QueueUnavailable, RerankError, UnknownModel
from rerank_shared.pools import largest, pool_id_of

#: How often the speed of the fleet is read, and how often a missing worker is looked for.
_LOOK_S = 1.0
_NO_WORKER = "no worker is alive"
#: A wait is told when it has lasted so long, and then again after each such time.
_TELL_S = 10.0


@dataclass(slots=True)
class Counters:
    """What a run has asked of the fleet since it began; `retries` counts requests that were sent again."""

    pairs_run: int = 0
    pairs_cached: int = 0
    tokens: int = 0
    retries: int = 0
    waiting_for: str = ""

    @property
    def pairs(self) -> int:
        """Pairs that were answered."""
        return self.pairs_run + self.pairs_cached


@dataclass(slots=True)
class PatientFleet:
    """Asks requests through one client. `tell` gets a sentence when something is waited for.

    `patience_s` bounds the time without any answer while something is asked; None: it waits for ever.
    """

    client: AsyncRerankClient
    tell: Callable[[str], object] = lambda _: None
    patience_s: float | None = None
    counters: Counters = field(default_factory=Counters)
    _answered_at: float = field(default_factory=time.monotonic)
    _told_at: float = 0.0
    _asking: int = 0

    async def ask(self, request: RerankRequest) -> RerankResponse | RerankError:
        """Return the answer to a request, all its results included, or the error that is the row's own.

        Raises FleetGone.
        """
        options: dict[str, Any] = dict(request)
        options |= {"top_n": None, "deadline_ms": None, "job_class": "bulk"}
        query, documents = options.pop("query"), options.pop("documents")
        if not self._asking:
            # The time before was that of whoever had nothing to ask, or took no answer.
            self._answered_at = time.monotonic()
        self._asking += 1
        try:
            return await self._answer(query, documents, options)
        finally:
            self._asking -= 1

    async def _answer(self, query: str, documents: Any, options: dict[str, Any]) -> RerankResponse | RerankError:
        failures = 0
        while True:
            try:
                response = await self.client.rerank(query, documents, partial=False, **options)
            except RerankError as error:
                failures += 1
                decision = verdict(error, failures)
                if isinstance(decision, GiveUp):
                    raise FleetGone(error.message) from error
                if not isinstance(decision, Again):
                    self._answered()
                    return error
                self.counters.retries += 1
                await self._pause(error, decision.pause_s)
            else:
                self._answered()
                self.counters.pairs_run += response.usage.pairs_run
                self.counters.pairs_cached += response.usage.pairs_cached
                self.counters.tokens += response.usage.tokens
                return response

    async def identity(self) -> ScoringIdentity:
        """Return what the fleet serves under the model of the settings; wait until a worker has announced it.

        Raises InvalidRequest for a route to several models, UnknownModel where it serves other models only,
        QueueUnavailable where no server answers, FleetGone.
        """
        pipeline, port = self.client._pipeline, self.client._loops.get().port()
        model = await pipeline.lookup.sole_model(port, name_of(self.client.settings.model))
        while (pool := largest(await pipeline.served_models.get(port, model))) is None:
            await self._pause(RerankError(f"no worker has announced the model {model!r} yet"), _LOOK_S)
        return pool.identity

    async def speed(self) -> FleetSpeed:
        """Return the fleet's speed. Raises QueueUnavailable."""
        pipeline, port = self.client._pipeline, self.client._loops.get().port()
        pool = pool_id_of(largest(await pipeline.served_models.get(port, self._model)))
        load = await pipeline.dispatcher.fleet_load.without_backlog(port, self._model, pool)
        return FleetSpeed(load.workers, load.cost)

    @property
    def _model(self) -> str:
        """The model that scores: where the name of the settings leads, by what is known of routes."""
        return self.client._pipeline.routes.target(name_of(self.client.settings.model), "").model

    async def watch_speed(self, seen: Callable[[FleetSpeed], object]) -> None:
        """Report the speed each second until cancelled, and tell where no worker is alive."""
        while True:
            try:
                speed = await self.speed()
            except (QueueUnavailable, UnknownModel) as error:
                self._tell(error.message)
            else:
                seen(speed)
                if speed.processes == 0:
                    model = shlex.quote(self._model)
                    start = f"`rerank-fleet worker --model {model}` or `rerank-fleet models load {model}`"
                    self._tell(f"{_NO_WORKER}: the run waits for one that serves {model} ({start})")
                elif self.counters.waiting_for.startswith(_NO_WORKER):
                    self.counters.waiting_for = ""
            if self._asking:
                self._check_patience()
            await asyncio.sleep(_LOOK_S)

    def _answered(self) -> None:
        self._answered_at, self.counters.waiting_for = time.monotonic(), ""

    async def _pause(self, error: RerankError, pause_s: float) -> None:
        self._tell(error.message)
        self._check_patience()
        await asyncio.sleep(pause_s)

    def _tell(self, message: str) -> None:
        self.counters.waiting_for = message
        now = time.monotonic()
        if now - max(self._told_at, self._answered_at) >= _TELL_S or not self._told_at:
            self._told_at = now
            self.tell(message)

    def _check_patience(self) -> None:
        if self.patience_s is not None and time.monotonic() - self._answered_at > self.patience_s:
            reason = self.counters.waiting_for or "the fleet is silent"
            raise FleetGone(f"no answer for {self.patience_s:g} s: {reason}")
