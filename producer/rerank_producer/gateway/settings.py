"""Settings of the HTTP gateway: read from the environment with the prefix RERANK_GATEWAY_.

Those of the fleet and of clients (Redis, namespace, model, default deadlines, documents a request) hold for the gateway
as for any other client. As there, a variable with the prefix that no field reads is an error.
"""

from __future__ import annotations

import os
import re
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from rerank_shared.settings import (
    GATEWAY_PREFIX,
    PREFIX,
    Settings,
    mistakes,
    names_by_comma,
    refuse_unknown,
    variables,
)

_MIB = 1024 * 1024
_HOST = re.compile(r"[A-Za-z0-9_.*?-]{1,253}")
Names = Annotated[tuple[str, ...], NoDecode]


class GatewaySettings(BaseSettings):
    """Read by `rerank-fleet gateway`, for which those of the fleet and of clients hold as well.

    Build it with `load_gateway_settings()`.
    """

    model_config = SettingsConfigDict(env_prefix=GATEWAY_PREFIX, frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", description="Address to listen on. 0.0.0.0 in a container.")
    port: int = Field(8080, ge=0, le=65_535, description="Port to listen on. 0: any that is free.")
    processes: int = Field(
        1,
        ge=1,
        description="Gateway processes behind that one port. One serves some hundred requests a second; it runs no "
        "model, so it needs no core of its own.",
    )
    keys: str | None = Field(
        None,
        description="File of API keys, written by `rerank-fleet keys create`. Unset: every client that reaches the "
        "port may use it. Set: no client gets in without a key, even if the file is empty.",
    )
    max_body_mib: float = Field(
        16.0,
        gt=0.0,
        allow_inf_nan=False,
        description="Largest request body, MiB; refused before it is parsed, and by Content-Length before it is read. "
        "A key may have less.",
    )
    body_timeout_s: float = Field(
        10.0, gt=0.0, allow_inf_nan=False, description="How long a request's body may take to arrive."
    )
    head_timeout_s: float = Field(
        10.0, gt=0.0, allow_inf_nan=False, description="How long a request's line and headers may take to arrive."
    )
    max_open: int = Field(
        2_000,
        ge=1,
        description="Requests that one gateway process has open at once; more are told 503 with Retry-After. With the "
        "body limit it bounds memory.",
    )
    max_live: int = Field(
        50, ge=0, description="Pages that may watch the fleet live through one gateway process. 0: none."
    )
    cors_origins: Names = Field(
        (),
        description="Origins, by comma, whose pages may call this gateway from a browser; `*` for all.",
    )
    hosts: Names = Field(
        (),
        description="Names, by comma, with * and ?, by which a gateway without keys may be called, beside those that "
        "it knows (docs/gateway.md). `*`: any, which lets pages of other sites in whose name is made to lead here.",
    )
    stand_in_for: Names = Field(
        ("rerank-*", "jina-*", "voyage-*", "*"),
        description="Model names, by comma, with * and ?, that are answered though the fleet serves none of that name, "
        "so that code and applications written for other servers need no change but their URL: by the gateway's own "
        "model (RERANK_MODEL), or the only one that is served. The answer names the model that scored. `*` alone is "
        "every name, as long as the fleet serves one model; where it serves several, none of them is meant. Other "
        "names are an error; empty: all names but those that are served.",
    )
    overflow_url: str | None = Field(
        None,
        description="Base URL of a Cohere-compatible API, https only, that requests go to which the fleet would answer "
        "too late. Their texts leave your network then. Unset: they are refused with 429.",
    )
    overflow_key: SecretStr | None = Field(None, description="API key for the overflow URL.")
    overflow_model: str | None = Field(None, description="Model to ask for there; needed with an overflow URL.")
    batch_dir: str | None = Field(
        None,
        description="Directory of uploaded files and batches (docs/batches.md), on a disk that all gateway processes "
        "share. Unset: /v1/files and /v1/batches are off.",
    )
    batch_file_mib: float = Field(
        200.0, gt=0.0, le=100_000.0, allow_inf_nan=False, description="Largest file that may be uploaded, MiB."
    )
    batch_stored_mib: float = Field(
        2_000.0,
        gt=0.0,
        allow_inf_nan=False,
        description="What the files of one key may take together, MiB, outputs included. A new file is refused beyond.",
    )
    batch_files: int = Field(1_000, ge=1, le=100_000, description="Files that one key may keep.")
    batch_lines: int = Field(50_000, ge=1, le=1_000_000, description="Requests in one batch, at most.")
    batch_keep_days: float = Field(
        30.0,
        gt=0.0,
        le=3_650.0,
        allow_inf_nan=False,
        description="After so many days files are removed, and batches that have ended. A file may ask for less.",
    )
    batch_open: int = Field(10, ge=1, le=10_000, description="Batches of one key that have not ended, at most.")
    batch_running: int = Field(
        2,
        ge=1,
        le=64,
        description="Batches that run at once, over all gateway processes; further ones wait their turn.",
    )
    batch_upload_s: float = Field(
        600.0,
        gt=0.0,
        allow_inf_nan=False,
        description="How long an upload may take. It also ends where nothing comes for RERANK_GATEWAY_BODY_TIMEOUT_S.",
    )
    public_metrics: bool = Field(
        False,
        description="Answer /metrics and /autoscale without a key, and under any host name. For a port that only your "
        "own network reaches.",
    )
    drain_s: float = Field(
        0.0,
        ge=0.0,
        allow_inf_nan=False,
        description="How long the port stays open after SIGTERM, while /readyz says no already. Behind a balancer: "
        "longer than it takes to notice.",
    )
    grace_s: float = Field(
        30.0, ge=0.0, allow_inf_nan=False, description="How long open requests may take to end after that."
    )

    @field_validator("cors_origins", "hosts", "stand_in_for", mode="before")
    @classmethod
    def _by_comma(cls, value: Any) -> Any:
        return names_by_comma(value)

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            parts = urlsplit(origin)
            if origin != "*" and origin != f"{parts.scheme}://{parts.netloc}":
                raise ValueError("an origin is scheme://host[:port], without a path")
        return value

    @field_validator("hosts")
    @classmethod
    def _hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if wrong := next((host for host in value if not _HOST.fullmatch(host)), None):
            raise ValueError(f"a host is a name without scheme, port and path, not {wrong!r}")
        return tuple(host.lower() for host in value)

    @property
    def max_body_bytes(self) -> int:
        """Largest request body, bytes."""
        return round(self.max_body_mib * _MIB)

    @property
    def batch_file_bytes(self) -> int:
        """Largest file that may be uploaded, bytes."""
        return round(self.batch_file_mib * _MIB)

    @property
    def batch_stored_bytes(self) -> int:
        """What the files of one key may take together, bytes."""
        return round(self.batch_stored_mib * _MIB)

    @property
    def batch_keep_s(self) -> int:
        """How long files are kept, seconds."""
        return max(1, round(self.batch_keep_days * 86_400))


def load_gateway_settings(**overrides: Any) -> GatewaySettings:
    """Return the gateway's settings of the environment, `overrides` that are not None first.

    Raises UnknownSetting and ConfigurationError as `load_settings`.
    """
    fields = GatewaySettings.model_fields
    refuse_unknown(os.environ, GATEWAY_PREFIX, fields, variables(PREFIX, Settings.model_fields))
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return GatewaySettings(**given)
    except ValidationError as error:
        raise mistakes(error, GATEWAY_PREFIX, fields, given) from None
