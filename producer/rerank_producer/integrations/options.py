"""Options of the adapters for frameworks: their clients, and the fallback when the fleet can't answer.

Only texts go to the fleet, and first-stage scores where fusion is asked for: documents and their metadata stay in the
process, and answers are matched by index.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import partial
from typing import Any, Self

from pydantic import Field, PrivateAttr

from rerank_producer import AsyncRerankClient, RerankClient
from rerank_producer.integrations.fields import RequestFields, known_scores
from rerank_shared.contract.schemas import RerankResponse
from rerank_shared.errors import ConfigurationError, RerankError
from rerank_shared.keys import JobClass
from rerank_shared.settings import Settings, load_settings

log = logging.getLogger(__name__)


def missing(framework: str, extra: str | None, error: ImportError) -> ConfigurationError:
    """Return the error that says how to install a framework: with the extra of its name, or alone where it has none."""
    wanted = framework if extra is None else f"rerank-fleet[{extra}]"
    return ConfigurationError(
        f"{framework} can't be imported ({error}): pip install '{wanted}' into the environment of this app"
    )


class Clients:
    """The clients of one adapter: those it was given, and its own in place of missing ones.

    Neither connects before its first request, and the asyncio one has connections of its own for each event loop.
    """

    def __init__(
        self, settings: Settings, client: RerankClient | None = None, async_client: AsyncRerankClient | None = None
    ) -> None:
        self.settings = settings
        self.blocking = client or RerankClient(settings)
        self.asyncio = async_client or AsyncRerankClient(settings)
        self._owns_blocking, self._owns_asyncio = client is None, async_client is None

    def close(self) -> None:
        """Close the blocking client, unless it was given."""
        if self._owns_blocking:
            self.blocking.close()

    async def aclose(self) -> None:
        """Close both clients, unless they were given."""
        if self._owns_asyncio:
            await self.asyncio.close()
        await asyncio.to_thread(self.close)


class FleetOptions(RequestFields):
    """Options of an adapter. All other settings come from the environment (RERANK_REDIS_URL and the others).

    `client` and `async_client` may be shared by adapters, and are not closed with them; they then determine the server.
    Deadline, class, tenant, model and max_length are as in RerankClient.rerank. At the deadline documents without a
    score stand behind the others, in first-stage order; with `partial=False` that is DeadlineExceeded. With `fallback`
    an error that may pass (the server is away, the fleet is overloaded, the deadline has passed) is logged, and
    documents stay in first-stage order. Other errors are always raised.

    With `fusion` ("weighted", "zscore" or "rrf") the first-stage scores that the framework carries are sent and count
    in the order; `fusion_weight`, `fusion_ratio`, `first_stage` and `first_stage_order` are as in RerankClient.rerank.
    Unset, or "none", no scores are sent, whatever RERANK_FUSION says. A score of None or NaN is none. The score that
    the framework shows is then the fused one, after the model's activation.

    A misspelt option is UnknownSetting, a wrong value ConfigurationError.

    Copies share connections. A serialized adapter has no `redis_url`, which may hold a password; a pickled one has it.
    """

    client: RerankClient | None = Field(None, exclude=True, repr=False)
    async_client: AsyncRerankClient | None = Field(None, exclude=True, repr=False)
    deadline_ms: float | None = None
    job_class: JobClass = "interactive"
    partial: bool = True
    fallback: bool = False
    _clients: Clients = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        """Make the clients that were not given. Raises ConfigurationError."""
        super().model_post_init(context)
        given = self.client or self.async_client
        if given is None:
            settings = load_settings(redis_url=self._url, namespace=self.namespace)
        elif self.redis_url is not None or self.namespace is not None:
            raise ConfigurationError("give either a client, or redis_url and namespace, not both")
        else:
            settings = given.settings
            self.namespace = settings.namespace
        self._clients = Clients(settings, self.client, self.async_client)

    def close(self) -> None:
        """Close the connections of blocking calls. A later call opens new ones."""
        self._clients.close()

    async def aclose(self) -> None:
        """Close all connections of blocking calls and of this event loop."""
        await self._clients.aclose()

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        return self.model_copy()

    def __reduce__(self) -> tuple[Any, ...]:
        settings = self._clients.settings
        fields = {name: getattr(self, name) for name, field in type(self).model_fields.items() if not field.exclude}
        fields |= {"redis_url": settings.redis_url, "namespace": settings.namespace}
        return partial(type(self), **fields), ()

    @property
    def _model_name(self) -> str:
        return self.model or self._clients.settings.model

    def ask(self, query: str, texts: list[str], top_n: int | None, scores: Sequence[Any] = ()) -> RerankResponse | None:
        """Return the answer, None where documents stay in first-stage order; raises RerankError.

        `scores` are those of the first stage, one a text, as the framework has them; they are sent for fusion only.
        """
        try:
            return self._clients.blocking.rerank(query, texts, top_n=top_n, **self._request(scores))
        except RerankError as error:
            self._fall_back(error)
            return None

    async def aask(
        self, query: str, texts: list[str], top_n: int | None, scores: Sequence[Any] = ()
    ) -> RerankResponse | None:
        """Do as `ask`, from asyncio."""
        try:
            return await self._clients.asyncio.rerank(query, texts, top_n=top_n, **self._request(scores))
        except RerankError as error:
            self._fall_back(error)
            return None

    def _request(self, scores: Sequence[Any]) -> dict[str, Any]:
        request = self._asked() | {
            "deadline_ms": self.deadline_ms,
            "job_class": self.job_class,
            "partial": self.partial,
        }
        return request | {"scores": known_scores(scores)} if self._fuses else request

    def _fall_back(self, error: RerankError) -> None:
        if not (self.fallback and error.retryable):
            raise error
        log.warning("not reranked, first-stage order kept code=%s error=%s", error.code, error)


def told(response: RerankResponse | None) -> dict[str, Any]:
    """Return the part of an answer that traces show, ready for JSON; milliseconds in `timings`."""
    if response is None:
        return {"fallback": True}
    shown = response.model_dump(include={"id", "complete", "model", "timings", "usage", "fusion"})
    return {"fallback": False, **shown}
