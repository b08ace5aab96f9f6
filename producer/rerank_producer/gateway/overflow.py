"""The upstream for calls that the fleet would answer too late: any API that speaks Cohere's v2 rerank.

Its URL is fixed when the gateway starts, and no request can change it. The upstream is not trusted: a redirect is not
followed, and an answer that is too large, incomplete or wrong counts as a failure.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import time
import uuid
from collections.abc import Sequence
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Annotated, Any, Protocol, Self
from urllib.parse import urlsplit

import httpx
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from rerank_producer.apis.common.call import RerankCall
from rerank_shared.contract.schemas import Document, ModelInfo, RerankResponse, Result, Timings, Usage, encodable
from rerank_shared.errors import ConfigurationError

#: Ten thousand results, the most that Cohere takes, are 0.7 MB.
_ANSWER_BYTES = 4 * 1024 * 1024
_CONNECTIONS = 64
_VISIBLE_ASCII = re.compile(r"[\x21-\x7e]+")


class OverflowFailed(Exception):
    """The upstream gave no usable answer. The message says why, and quotes no text, no key and no answer."""


class OverflowSettings(Protocol):
    """The part of the gateway's settings that Overflow reads."""

    @property
    def overflow_url(self) -> str | None: ...
    @property
    def overflow_key(self) -> SecretStr | None: ...
    @property
    def overflow_model(self) -> str | None: ...


class _Item(BaseModel):
    model_config = ConfigDict(strict=True)

    index: Annotated[int, Field(ge=0)]
    relevance_score: Annotated[float, Field(allow_inf_nan=False)]


class _Answer(BaseModel):
    """The part of an answer that is read; ids, units and warnings of the upstream are ignored."""

    results: list[_Item]


class Overflow:
    """One upstream. Texts go there as they are, so it must be trusted with them."""

    def __init__(
        self, url: str, model: str, key: SecretStr | None = None, *, tls: ssl.SSLContext | None = None
    ) -> None:
        """`tls` None trusts what httpx does: the CAs of certifi, or those that SSL_CERT_FILE names.

        Proxies of the environment are not used. Raises ConfigurationError.
        """
        self.host, self._url = _checked_url(url)
        self._model = model
        self._key = key
        if key is not None and not _VISIBLE_ASCII.fullmatch(key.get_secret_value()):
            raise ConfigurationError("RERANK_GATEWAY_OVERFLOW_KEY: visible ASCII characters expected, without spaces")
        self._client = httpx.AsyncClient(
            verify=httpx.create_ssl_context() if tls is None else tls,
            follow_redirects=False,
            trust_env=False,
            # Callers share the client, and an upstream could fill the jar.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            limits=httpx.Limits(max_connections=_CONNECTIONS),
        )

    @classmethod
    def of(cls, settings: OverflowSettings) -> Self | None:
        """Return the upstream that the settings name, None if none. Raises ConfigurationError."""
        if settings.overflow_url is None:
            if settings.overflow_key is not None or settings.overflow_model is not None:
                raise ConfigurationError("RERANK_GATEWAY_OVERFLOW_URL: needed with an overflow key or model")
            return None
        if not settings.overflow_model:
            raise ConfigurationError("RERANK_GATEWAY_OVERFLOW_MODEL: needed with an overflow URL, such as rerank-v3.5")
        return cls(settings.overflow_url, settings.overflow_model, settings.overflow_key)

    async def rerank(self, call: RerankCall, timeout_s: float) -> RerankResponse:
        """Return the upstream's response to a call of texts, within `timeout_s` all in all.

        `max_length` is not passed on: the upstream cuts texts by its own rule. Raises OverflowFailed.
        """
        started = time.monotonic()
        documents = _documents(call)
        if timeout_s <= 0:
            raise OverflowFailed("no time is left before the deadline")
        try:
            async with asyncio.timeout(timeout_s):
                answer = await self._post(self._body(call, documents), timeout_s)
        except (TimeoutError, httpx.TimeoutException):
            raise OverflowFailed(f"no answer within {timeout_s:.3f} s") from None
        except httpx.HTTPError as error:
            # Some errors quote the upstream's answer.
            reason = f": {error}" if isinstance(error, httpx.ConnectError) else ""
            raise OverflowFailed(f"{type(error).__name__}{reason}") from None
        return RerankResponse(
            id=uuid.uuid4().hex,
            results=_results(answer, documents, call.top_n),
            complete=True,
            model=ModelInfo(name=self._model),
            timings=Timings(total_ms=(time.monotonic() - started) * 1000),
            usage=Usage(),
        )

    async def aclose(self) -> None:
        """Close its connections."""
        await self._client.aclose()

    def _body(self, call: RerankCall, documents: Sequence[Document]) -> dict[str, Any]:
        texts = [document.text for document in documents]
        body = {"model": self._model, "query": encodable(call.query), "documents": texts}
        return body if call.top_n is None else body | {"top_n": min(call.top_n, len(texts))}

    async def _post(self, body: dict[str, Any], timeout_s: float) -> bytes:
        # Not compressed: a small answer could unpack to a large one.
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key.get_secret_value()}"
        async with self._client.stream("POST", self._url, json=body, headers=headers, timeout=timeout_s) as response:
            if response.status_code != httpx.codes.OK:
                raise OverflowFailed(f"status {response.status_code}")
            if response.headers.get("content-encoding", "identity") != "identity":
                raise OverflowFailed("a compressed answer, which was not asked for")
            answer = bytearray()
            async for piece in response.aiter_raw():
                answer += piece
                if len(answer) > _ANSWER_BYTES:
                    raise OverflowFailed(f"an answer of more than {_ANSWER_BYTES:,} bytes")
        return bytes(answer)


def _checked_url(url: str) -> tuple[str, str]:
    """Return the host of a base URL, and the URL to post to. Raises ConfigurationError that quotes no password."""
    name = "RERANK_GATEWAY_OVERFLOW_URL"
    if not _VISIBLE_ASCII.fullmatch(url):
        raise ConfigurationError(f"{name}: visible ASCII characters expected, without spaces")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        httpx.URL(url)
    except (ValueError, httpx.InvalidURL):
        raise ConfigurationError(f"{name}: https://host[:port][/path] expected") from None
    if parts.scheme != "https" or not host:
        raise ConfigurationError(f"{name}: https://host[:port][/path] expected; texts and the key go there")
    if "@" in parts.netloc or "?" in url or "#" in url:
        raise ConfigurationError(f"{name}: no user, query or fragment may be in it; the key has a setting of its own")
    base = url.rstrip("/")
    if base.endswith(("/v1", "/v2", "/rerank")):
        raise ConfigurationError(f"{name}: the base expected; /v2/rerank is put behind it")
    return host if port is None else f"{host}:{port}", f"{base}/v2/rerank"


def _documents(call: RerankCall) -> list[Document]:
    try:
        documents = [
            Document.model_validate({"text": each} if isinstance(each, str) else each) for each in call.documents
        ]
    except ValidationError:
        raise OverflowFailed("documents that are none") from None
    if any(document.text is None for document in documents):
        raise OverflowFailed("documents given as token_ids; an upstream takes texts only")
    return documents


def _results(answer: bytes, documents: Sequence[Document], top_n: int | None) -> list[Result]:
    """Return the results in an answer, best first. Raises OverflowFailed unless they are those of the call."""
    try:
        items = _Answer.model_validate_json(answer).results
    except ValidationError as error:
        place = ".".join(map(str, error.errors(include_url=False, include_input=False)[0]["loc"])) or "no JSON"
        raise OverflowFailed(f"an answer that is none: {place}") from None
    count = len(documents)
    expected = count if top_n is None else min(top_n, count)
    indexes = {item.index for item in items}
    if not len(items) == len(indexes) == expected or any(index >= count for index in indexes):
        raise OverflowFailed(f"an answer of other documents than the {expected} asked for")
    items.sort(key=lambda item: (-item.relevance_score, item.index))
    return [_result(item, documents[item.index]) for item in items]


def _result(item: _Item, document: Document) -> Result:
    score = item.relevance_score
    return Result(index=item.index, relevance_score=score, id=document.id, metadata=document.metadata)
