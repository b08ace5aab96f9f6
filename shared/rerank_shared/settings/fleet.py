"""Settings that every part of a fleet reads: the server, the namespace, the model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import NoDecode

from rerank_shared.settings.group import SettingsGroup
from rerank_shared.settings.redis.url import RedisUrl

DEFAULT_REDIS_URL = "redis://127.0.0.1:6379/0"
#: Part of the names of keys and queues, so it must not need quoting anywhere.
NAMESPACE_PATTERN = r"^[A-Za-z0-9_.-]{1,64}$"


def names_by_comma(value: Any) -> Any:
    """Return the names of a text, without empty ones; another value as it is."""
    return tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value


class FleetSettings(SettingsGroup):
    """Read by every part: clients, gateway, worker processes, supervisor and the command line."""

    redis_url: SecretStr = Field(
        SecretStr(DEFAULT_REDIS_URL),
        validation_alias=AliasChoices("RERANK_REDIS_URL", "REDIS_URL"),
        description="Redis or Valkey, 6.2 or later: queue, results and score cache. redis://, rediss://, unix:///path, "
        "or redis+sentinel:// with the hosts of Sentinels; options as in docs/redis.md. `REDIS_URL` is read when this "
        "is not set. Not a cluster: the queue needs one server.",
    )
    namespace: str = Field(
        "rerank",
        pattern=NAMESPACE_PATTERN,
        description="First part of every key. Fleets with different namespaces can share a server.",
    )
    model: str = Field(
        "cross-encoder/ms-marco-MiniLM-L-12-v2",
        min_length=1,
        description="The model that workers serve and that a request without a model asks for: a name of the "
        "catalogue or of fleet.toml, or hf:org/name[@revision], file:/dir, package:dist/path.",
    )
    models: Annotated[tuple[str, ...] | None, NoDecode] = Field(
        None,
        description="Models that workers serve, by comma, where each process serves several; sources as for "
        "RERANK_MODEL, which is then one of them, and the first where it is unset. Unset, as RERANK_MODEL: those of "
        "fleet.toml, if it names any. docs/models-on-one-fleet.md.",
    )
    max_length: int | None = Field(
        None,
        ge=8,
        le=32_768,
        description="Tokens a pair may have before it is truncated, where the request does not say. Unset: the "
        "model's own limit. Halving it halves the time of long documents, at a cost in quality you should measure.",
    )
    profile: Path | None = Field(
        None,
        description="TOML file of settings that `rerank-fleet tune` or `choose` found best. Variables "
        "and arguments take precedence over it; workers warn if it was made for another model or CPU.",
    )

    fleet_file: Path | None = Field(
        None,
        description="TOML file of the fleet's routes (docs/routes.md), from which gateways and supervisors seed them, "
        "and of its models (docs/models-on-one-fleet.md). Unset: fleet.toml in the working directory, if there is one.",
    )

    @property
    def served_models(self) -> tuple[str, ...]:
        """The models that workers serve, in order."""
        return self.models or (self.model,)

    @field_validator("models", mode="before")
    @classmethod
    def _by_comma(cls, value: Any) -> Any:
        return names_by_comma(value) or None

    @field_validator("models")
    @classmethod
    def _distinct(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if twice := next((name for name in value or () if (value or ()).count(name) > 1), None):
            raise ValueError(f"{twice} is named twice")
        return value

    @field_validator("redis_url")
    @classmethod
    def _usable(cls, url: SecretStr) -> SecretStr:
        # ConfigurationError is no ValueError: pydantic passes it on unchanged, without the input.
        RedisUrl.parse(url.get_secret_value()).refuse_unusable_files()
        return url
