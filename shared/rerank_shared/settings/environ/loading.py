"""Effective settings: all groups joined, with values from arguments, then the environment, then a profile."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Self

from pydantic import SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from rerank_shared.profile import Profile, read_profile
from rerank_shared.settings.autoscaling import AutoscalingSettings
from rerank_shared.settings.batching import BatchingSettings
from rerank_shared.settings.client import ClientSettings
from rerank_shared.settings.engine import EngineSettings
from rerank_shared.settings.environ.names import GATEWAY_PREFIX, PREFIX, former_values, mistakes, refuse_unknown
from rerank_shared.settings.feedback import FeedbackSettings
from rerank_shared.settings.fleet import FleetSettings, names_by_comma
from rerank_shared.settings.fleet_file import models_named_in
from rerank_shared.settings.group import SettingsGroup
from rerank_shared.settings.quality_gate import QualityGateSettings
from rerank_shared.settings.queue import QueueSettings
from rerank_shared.settings.supervisor import SupervisorSettings
from rerank_shared.settings.tuned import TunedSettings

#: The groups that users set, by title, in the order in which they are shown.
GROUPS: dict[str, type[SettingsGroup]] = {
    "Fleet": FleetSettings,
    "Clients": ClientSettings,
    "Feedback": FeedbackSettings,
    "Queue and cache": QueueSettings,
    "Batching": BatchingSettings,
    "Engine": EngineSettings,
    "Supervisor": SupervisorSettings,
    "Autoscaling": AutoscalingSettings,
    "Quality gate": QualityGateSettings,
}
#: The title of TunedSettings, which are shown behind all others.
TUNED_TITLE = "Written by `rerank-fleet tune`"


# Pydantic orders fields from the last base to the first.
class Settings(
    TunedSettings,
    QualityGateSettings,
    AutoscalingSettings,
    SupervisorSettings,
    EngineSettings,
    BatchingSettings,
    QueueSettings,
    FeedbackSettings,
    ClientSettings,
    FleetSettings,
    BaseSettings,
):
    """Effective settings; build it with `load_settings()`, which turns mistakes into ConfigurationError."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid", populate_by_name=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources of values, the first of which wins: arguments, environment, profile; models of a file."""
        given = {**env_settings(), **init_settings()}
        path = given.get("profile")
        values = {} if path is None else dict(read_profile(Path(path), cls.model_fields).values)
        if not {"model", "models"} & {*given, *values} and (models := models_named_in(given.get("fleet_file"))):
            values |= {"models": models}
        former = InitSettingsSource(settings_cls, former_values(os.environ))
        return init_settings, env_settings, former, InitSettingsSource(settings_cls, values)

    @model_validator(mode="before")
    @classmethod
    def _first_is_asked_for(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Where only `models` is given, the first of them is the one that a request without a model asks for."""
        models = names_by_comma(values.get("models"))
        return {**values, "model": models[0]} if models and "model" not in values else values

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.model not in self.served_models:
            raise ValueError(f"model ({self.model}) is none of models ({', '.join(self.served_models)})")
        if self.model_digest is not None and len(self.served_models) > 1:
            raise ValueError("model_digest is of one model, and models names several: pin them as hf:org/name@revision")
        if self.max_length is not None and self.max_length > self.budget_tokens:
            raise ValueError(
                f"budget_tokens ({self.budget_tokens}) is below max_length ({self.max_length}): "
                "a pair of full length would fit in no batch"
            )
        if self.max_processes is not None and self.max_processes < self.min_processes:
            raise ValueError(f"max_processes ({self.max_processes}) is below min_processes ({self.min_processes})")
        return self


def load_settings(**overrides: Any) -> Settings:
    """Return the settings of the environment; `overrides` that are not None take precedence.

    Raises UnknownSetting for a RERANK_ variable or a keyword that no field reads, ConfigurationError for a wrong value
    or profile.
    """
    refuse_unknown((name for name in os.environ if not name.startswith(GATEWAY_PREFIX)), PREFIX, Settings.model_fields)
    given = {name: value for name, value in overrides.items() if value is not None}
    if "model" in given:
        # Whoever names one model means that one, whatever several the environment names.
        given.setdefault("models", None)
    try:
        return Settings(**given)
    except ValidationError as error:
        raise mistakes(error, PREFIX, Settings.model_fields, given) from None


def profile_of(settings: Settings) -> Profile | None:
    """Return the profile that the settings name, None without one. Raises ConfigurationError as when it was loaded."""
    return None if settings.profile is None else read_profile(settings.profile, Settings.model_fields)


def bare_environ() -> dict[str, str]:
    """Return this process's environment without any variable that a setting is read from."""
    return {name: value for name, value in os.environ.items() if not name.startswith(PREFIX) and name != "REDIS_URL"}


def to_environ(settings: Settings) -> dict[str, str]:
    """Return the variables that make a child process load equal settings."""
    environ: dict[str, str] = {}
    for name in Settings.model_fields:
        value = getattr(settings, name)
        if value is not None:
            environ[PREFIX + name.upper()] = _text(value)
    return environ


def _text(value: Any) -> str:
    """Return a value as it is written in the environment."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return ",".join(value) if isinstance(value, tuple) else str(value)
