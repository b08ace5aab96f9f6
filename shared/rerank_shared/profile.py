"""Profiles: settings that were measured best for a model, on a host or judged queries, in a file of RERANK_PROFILE.

Top-level keys are names of settings; variables and arguments take precedence over them. The table [made_for] is no
setting: it records the model and the CPU that were measured, so that a worker with another one can warn.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from rerank_shared.errors import ConfigurationError
from rerank_shared.models.precision import settings_of_today
from rerank_shared.nearest import did_you_mean

MADE_FOR = "made_for"
#: A profile is passed around, so it holds no password; and it can't name another profile.
NOT_IN_A_PROFILE = frozenset({"redis_url", "profile"})


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile as it was read. `values` are settings by name; `made_for` is the table of that name in the file."""

    path: Path
    values: Mapping[str, Any]
    made_for: Mapping[str, Any]

    @property
    def made_by(self) -> str:
        """The command that wrote it."""
        return str(self.made_for.get("made_by", "rerank-fleet tune"))


def read_profile(path: Path, fields: Mapping[str, FieldInfo]) -> Profile:
    """Return the profile in a file; `fields` are all settings.

    Raises ConfigurationError that names the file, and the key if it is unknown or has a wrong value.
    """
    where = f"RERANK_PROFILE: {path}"
    try:
        values = settings_of_today(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigurationError(
            f"{where} can't be read ({error.strerror}): `rerank-fleet tune` or `choose` writes one; unset it until then"
        ) from None
    except ValueError as error:
        # Raised for wrong UTF-8 and for wrong TOML.
        raise ConfigurationError(f"{where} is not TOML: {error}") from None
    made_for = values.pop(MADE_FOR, {})
    if not isinstance(made_for, dict):
        raise ConfigurationError(f"{where}: {MADE_FOR}: a table expected, not {made_for!r}")
    known = fields.keys() - NOT_IN_A_PROFILE
    for name, value in values.items():
        if name not in known:
            raise ConfigurationError(f"{where}: {name}: {_why_not(name, known)}")
        _check(f"{where}: {name}", fields[name], value)
    return Profile(path, values, made_for)


#: What a profile is compared in, and how it was made where that differs.
_COMPARED = {"model_digest": "for another model", "cpu": "on another CPU", "precision": "in another precision"}


def differences(profile: Profile, *, model_digest: str | None, cpu: str, precision: str | None = None) -> list[str]:
    """Return a sentence for each respect in which a profile was made for something else; None is not compared."""
    told = []
    here_by_name = {"model_digest": model_digest, "cpu": cpu, "precision": precision}
    for name, what in _COMPARED.items():
        here, there = here_by_name[name], profile.made_for.get(name)
        if here is not None and there is not None and there != here:
            told.append(f"{profile.path} was made {what}: {_short(there)}, this is {_short(here)}")
    return told


def _why_not(name: str, known: Collection[str]) -> str:
    if name in NOT_IN_A_PROFILE:
        return f"does not belong in a profile; set RERANK_{name.upper()}"
    return f"is no setting{did_you_mean(name, known)}"


def _check(where: str, field: FieldInfo, value: Any) -> None:
    checked: Any = Annotated[field.annotation, field]
    try:
        TypeAdapter(checked).validate_python(value)
    except ValidationError as error:
        raise ConfigurationError(f"{where}: {error.errors(include_url=False)[0]['msg']}") from None


def _short(told: Any) -> str:
    text = str(told)
    return f"{text[:12]}…" if len(text) == 64 else text
