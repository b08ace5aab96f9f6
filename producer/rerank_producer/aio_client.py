"""The asyncio client: for ASGI servers and LLM pipelines."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any, Literal, Self, Unpack

from rerank_producer._behind.feedback_outbox import FeedbackOutbox, Outbox, tell
from rerank_producer._behind.routed_counts import counting
from rerank_producer._dispatch.collect import collect, status
from rerank_producer._dispatch.pipeline import RequestPipeline
from rerank_producer._dispatch.shadow.background import shadows_behind
from rerank_producer._io.aio import AsyncPort
from rerank_producer._io.cancel_threads import Background
from rerank_producer._io.per_process import PerProcess
from rerank_producer._io.port import Ports
from rerank_producer.client import Seen, behind, effective_settings
from rerank_producer.fusion import Documents, FirstStage
from rerank_producer.handles import JobStatus, RerankHandle
from rerank_producer.request_options import RequestOptions
from rerank_shared.contract.schemas import ModelInfo, RerankResponse
from rerank_shared.settings import Settings


class AsyncRerankClient:
    """Reranks through the fleet from asyncio; any number of requests at once, from any number of event loops.

    Its construction, options, answers and errors are those of RerankClient. Workers drop a request whose task is
    cancelled.
    """

    def __init__(self, settings: Settings | None = None, *, redis_url: str | None = None, **overrides: Any) -> None:
        self.settings = effective = effective_settings(settings, redis_url=redis_url, **overrides)
        self._pipeline = RequestPipeline(self.settings)
        # Nothing refers back to the client: one that is dropped is gone at once, and its listener ends.
        self._loops: PerProcess[Ports] = PerProcess(lambda: _Loops(effective))
        self._outbox: PerProcess[Outbox] = PerProcess(lambda: FeedbackOutbox(effective))
        self._shadows, self._routed = behind(self._pipeline)

    @classmethod
    def _over(
        cls, pipeline: RequestPipeline, make_ports: Callable[[], Ports], make_outbox: Callable[[], Outbox]
    ) -> Self:
        """Return a client whose requests run through `pipeline` over other ports than those to Redis."""
        client = cls.__new__(cls)
        client.settings, client._pipeline, client._loops = pipeline.settings, pipeline, PerProcess(make_ports)
        client._outbox, client._routed = PerProcess(make_outbox), counting(pipeline.settings)
        client._shadows = shadows_behind(pipeline)
        return client

    async def rerank(
        self,
        query: str,
        documents: Documents | None = None,
        *,
        lists: Sequence[Documents] | None = None,
        max_candidates: int | None = None,
        partial: bool | Literal["scored"] = True,
        **options: Unpack[RequestOptions],
    ) -> RerankResponse:
        """Return the documents ordered by relevance to the query; see RerankClient.rerank."""
        given = FirstStage(documents, lists, max_candidates, options.get("first_stage_order", "descending"))
        return await self._pipeline.rerank(self._loops.get().port(), query, given, options, partial=partial)

    async def submit(
        self,
        query: str,
        documents: Documents | None = None,
        *,
        lists: Sequence[Documents] | None = None,
        max_candidates: int | None = None,
        **options: Unpack[RequestOptions],
    ) -> RerankHandle:
        """Enqueue a request for `collect()`; see RerankClient.submit."""
        given = FirstStage(documents, lists, max_candidates, options.get("first_stage_order", "descending"))
        return RerankHandle(await self._pipeline.submit(self._loops.get().port(), query, given, options))

    async def collect(
        self, handle: RerankHandle | str, *, timeout_ms: float | None = None, partial: bool = False
    ) -> RerankResponse:
        """Return the answer to a submitted request; see RerankClient.collect.

        A cancelled call leaves the request as it is, to be collected later.
        """
        pipeline = self._pipeline
        keys, failover, learned = pipeline.keys, pipeline.failover, pipeline.learned
        port, share = self._loops.get().port(), self.settings.feedback_swap_share
        return await collect(port, keys, failover, learned, str(handle), timeout_ms, partial=partial, swap_share=share)

    async def status(self, handle: RerankHandle | str) -> JobStatus:
        """Return the state of a submitted request; see RerankClient.status."""
        return await status(self._loops.get().port(), self._pipeline.keys, self._pipeline.failover, str(handle))

    async def model_info(self, model: str | None = None) -> ModelInfo:
        """Return the model that the fleet serves under a name; see RerankClient.model_info."""
        return await self._pipeline.model_info(self._loops.get().port(), model)

    async def cancel(self, handle: RerankHandle | str) -> None:
        """Tell all live workers to drop a job; see RerankClient.cancel."""
        await self._loops.get().port().revoke(str(handle))

    async def feedback(
        self,
        request_id: str,
        *,
        shown: Sequence[Seen],
        clicked: Sequence[Seen] = (),
        query: str | None = None,
        query_id: str | None = None,
        tenant: str = "",
    ) -> bool:
        """Tell what was shown of an answer and what of it was clicked, without waiting; see RerankClient.feedback."""
        fields: dict[str, Any] = {"request_id": request_id, "shown": shown, "clicked": clicked}
        fields |= {"query": query, "query_id": query_id, "tenant": tenant}
        return tell(self._outbox.get(), self.settings, fields)

    async def close(self) -> None:
        """Close the connections of this event loop and those for cancelling. A later call opens new ones."""
        if (outbox := self._outbox.take()) is not None:
            await asyncio.to_thread(outbox.close)
        if (shadows := self._shadows.take()) is not None:
            await asyncio.to_thread(shadows.close)
        if (routed := self._routed.take()) is not None:
            await asyncio.to_thread(routed.close)
        if (loops := self._loops.take()) is not None:
            await self._pipeline.flush(loops.port())
            await loops.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class _Loops:
    """The ports of one process, one for each event loop, and the cancel threads that they share."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._background = Background(settings)
        self._lock = threading.Lock()
        self._ports: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncPort] = weakref.WeakKeyDictionary()

    def port(self) -> AsyncPort:
        """Return the running loop's port."""
        loop = asyncio.get_running_loop()
        with self._lock:
            port = self._ports.get(loop)
            if port is None or port.closed:
                # A port refers to its loop, so that a closed loop would never leave the dictionary by itself.
                for other in [other for other in self._ports if other.is_closed()]:
                    del self._ports[other]
                port = self._ports[loop] = AsyncPort(self._settings, self._background)
            return port

    async def aclose(self) -> None:
        """Close the running loop's port and the cancel threads; other loops' ports close when their loops end."""
        with self._lock:
            port = self._ports.pop(asyncio.get_running_loop(), None)
        if port is not None:
            await port.aclose()
        await asyncio.to_thread(self._background.close)
