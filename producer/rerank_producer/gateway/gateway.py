"""The state that all requests of one gateway process share: client, keys, token buckets, live view, batches."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from rerank_producer._io.port import TIMEOUT_S
from rerank_producer.aio_client import AsyncRerankClient
from rerank_producer.apis.common.call import Problem
from rerank_producer.apis.common.problems import Refused
from rerank_producer.gateway.answering import Answering
from rerank_producer.gateway.auth.keyring import Keyring
from rerank_producer.gateway.auth.token_bucket import TokenBuckets
from rerank_producer.gateway.batches.service import Batches
from rerank_producer.gateway.feedback_writer import FeedbackWriter
from rerank_producer.gateway.http.origins import OriginPolicy
from rerank_producer.gateway.models.directory import ModelDirectory
from rerank_producer.gateway.models.resolver import ModelResolver
from rerank_producer.gateway.overflow import Overflow
from rerank_producer.gateway.settings import GatewaySettings
from rerank_producer.gateway.watch.autoscale import SignalReader
from rerank_producer.gateway.watch.exposition import Exposition
from rerank_producer.gateway.watch.latency import Latencies
from rerank_producer.gateway.watch.live import Live
from rerank_producer.gateway.watch.readiness import Readiness
from rerank_producer.routed.figures import RoutedCounts
from rerank_shared.contract.messages import name_of
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import connect_async
from rerank_shared.route_store.keeper import RouteKeeper
from rerank_shared.settings import Settings

log = logging.getLogger(__name__)


class Gateway:
    """One gateway process. Made before its event loop runs, opened in it."""

    def __init__(self, fleet: Settings, settings: GatewaySettings) -> None:
        """Raises ConfigurationError, before anything listens, for keys, upstream or fleet file that can't be used."""
        self.fleet = fleet
        self.settings = settings
        self.keyring = None if settings.keys is None else Keyring.open(settings.keys)
        self.origin_policy = OriginPolicy.of(settings)
        self.overflow = Overflow.of(settings)
        self.client = AsyncRerankClient(fleet)
        self.keys = Keys(fleet.namespace)
        self.redis = connect_async(fleet, timeout_s=TIMEOUT_S)
        self.route_keeper = RouteKeeper(fleet)
        self.latencies = Latencies(self.keys)
        self.routed_counts = RoutedCounts(self.keys)
        self.client._pipeline.on_routed_end = self.routed_counts.observe
        self.live = Live(fleet, self.latencies, self.routed_counts, max_listeners=settings.max_live)
        resolver = ModelResolver(name_of(fleet.model), settings.stand_in_for)
        self.models = ModelDirectory(self.redis, self.keys, fleet, resolver, self.client._pipeline.routes)
        self.token_buckets = TokenBuckets(self.redis, self.keys, fleet)
        self.feedback_writer = FeedbackWriter(self.redis, self.keys, fleet)
        self.answering = Answering(self.client, self.token_buckets, self.latencies, self.overflow, self.models)
        self.batches = None
        if settings.batch_dir is not None:
            self.batches = Batches(
                settings.batch_dir, fleet, settings, self.client, self.models, self.token_buckets, self.keyring
            )
        self.signal = SignalReader(self.redis, fleet)
        self.exposition = Exposition(fleet)
        self.readiness = Readiness(self.redis, self.keys, fleet)
        self.draining = False
        self._open = 0

    @contextmanager
    def open_request(self) -> Iterator[None]:
        """Count a request as open inside the block. Raises Refused beyond `max_open`."""
        if self._open >= self.settings.max_open:
            message = f"this gateway has {self._open} requests open, its limit; try again, or start more of it"
            raise Refused(Problem(503, "overloaded", message, retryable=True, retry_after_s=1.0))
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1

    def drain(self) -> None:
        """Be not ready from now on; end the live streams, and let go of batches, which would not end by themselves."""
        self.draining = True
        self.live.close()
        if self.batches is not None:
            self.batches.stop()

    async def __aenter__(self) -> Self:
        self.route_keeper.start()
        if self.batches is not None:
            self.batches.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.drain()
        await self.live.aclose()
        await asyncio.to_thread(self.route_keeper.stop)
        if self.batches is not None:
            await self.batches.aclose()
        await self.client.close()
        if self.overflow is not None:
            await self.overflow.aclose()
        await self.redis.aclose()
        # Connections of redis-py close their transports in the loop's next turn.
        await asyncio.sleep(0)
