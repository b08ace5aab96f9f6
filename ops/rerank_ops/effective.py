"""Effective settings with their origin, secrets masked: the only place where settings become text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, SecretStr
from pydantic_settings import BaseSettings

from rerank_producer.gateway.settings import GatewaySettings
from rerank_shared.redis.connections import masked_url
from rerank_shared.settings import FORMER, GROUPS, TUNED_TITLE, Settings, TunedSettings, profile_of
from rerank_shared.settings.fleet_file import models_named_in

Origin = Literal["argument", "environment", "profile", "fleet.toml", "default"]
#: All groups of settings by their titles, in the order in which they are shown.
SECTIONS: dict[str, type[BaseModel]] = {**GROUPS, "HTTP gateway": GatewaySettings, TUNED_TITLE: TunedSettings}
#: Other variables that a setting is read from.
_ALIASES = {"redis_url": "REDIS_URL", "model": "RERANK_MODELS"} | {
    field: variable for variable, field in FORMER.items()
}


@dataclass(frozen=True, slots=True)
class EffectiveSetting:
    """One setting in force. `variable` is the environment variable that it was read from, or would be read from.

    `is_default`: the value equals the default, whatever its origin.
    """

    name: str
    variable: str
    value: str
    origin: Origin
    is_default: bool

    def as_plain(self) -> dict[str, str]:
        """Return the setting as plain data, for JSON."""
        return {"name": self.name, "variable": self.variable, "value": self.value, "origin": self.origin}


def effective_settings(settings: BaseSettings, environ: Mapping[str, str]) -> list[EffectiveSetting]:
    """Return every setting in the order of declaration; its origin is found by comparison with `environ`."""
    profile = profile_of(settings) if isinstance(settings, Settings) else None
    values = {} if profile is None else profile.values
    return [_setting(settings, name, environ, values) for name in type(settings).model_fields]


def effective_line(settings: BaseSettings, prefix: str = "") -> str:
    """Return all settings in one line of name=value, for the log of a process that starts."""
    return " ".join(f"{prefix}{name}={_value(settings, name)}" for name in type(settings).model_fields)


def _setting(
    settings: BaseSettings, name: str, environ: Mapping[str, str], profile: Mapping[str, Any]
) -> EffectiveSetting:
    variable = settings.model_config["env_prefix"] + name.upper()
    present = {key.upper(): key for key in environ}
    candidates = [variable, _ALIASES.get(name, variable)]
    read_from = next((present[key] for key in candidates if key in present), None)
    origin: Origin = "default"
    if name in settings.model_fields_set:
        origin = "environment" if read_from and _is_from(settings, name, environ[read_from]) else "argument"
        # An argument takes precedence over the profile too, so the values are compared.
        if not read_from and name in profile and getattr(settings, name) == profile[name]:
            origin = "profile"
        if not read_from and isinstance(settings, Settings) and name in ("model", "models"):
            models = models_named_in(settings.fleet_file)
            origin = "fleet.toml" if models and settings.models == models else origin
    shown = read_from if origin == "environment" and read_from else variable
    is_default = getattr(settings, name) == type(settings).model_fields[name].default
    return EffectiveSetting(name, shown, _value(settings, name), origin, is_default)


def _is_from(settings: BaseSettings, name: str, text: str) -> bool:
    """Return whether this value is the environment's; an argument takes precedence over it."""
    value = getattr(settings, name)
    return not isinstance(value, SecretStr) or value.get_secret_value() == text


def _value(settings: BaseSettings, name: str) -> str:
    value = getattr(settings, name)
    if isinstance(settings, Settings) and name == "redis_url":
        return masked_url(settings)
    if value is None:
        return "unset"
    if isinstance(value, tuple):
        return ",".join(value)
    return str(value).lower() if isinstance(value, bool) else str(value)
