"""fleet.toml: what a fleet serves, as a file beside the deployment. This module alone reads it.

Each of its tables has a field in FleetFile. A table that no field reads is an error, as an unknown setting is.
"""

from __future__ import annotations

import logging
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rerank_shared.errors import ConfigurationError
from rerank_shared.model_names import name_of
from rerank_shared.nearest import did_you_mean
from rerank_shared.routing.route import MAX_ROUTES, Route
from rerank_shared.routing.spec import read_route
from rerank_shared.settings.fleet import FleetSettings
from rerank_shared.settings.model_entries import ModelEntry, read_entries

log = logging.getLogger(__name__)
#: The file of the working directory, where the settings name no other.
DEFAULT_NAME = "fleet.toml"
TABLES = ("models", "routes")
#: Mistakes that this process has logged: settings are loaded often.
_TOLD: set[str] = set()


@dataclass(frozen=True, slots=True)
class FleetFile:
    """A fleet.toml as it was read. `routes` are by name; the first of `models` is the default one."""

    path: Path
    routes: Mapping[str, Route] = field(default_factory=dict)
    models: tuple[ModelEntry, ...] = ()


def fleet_file_of(settings: FleetSettings) -> FleetFile | None:
    """Return the file of RERANK_FLEET_FILE, else fleet.toml in the working directory, None without either.

    Raises ConfigurationError that names the file and every mistake in it.
    """
    path = place_of(settings.fleet_file)
    return None if path is None else read_fleet_file(path)


def entry_of(model: str, settings: FleetSettings) -> ModelEntry:
    """Return what a name or a source of a model means: the entry of the file that has this name, else itself.

    Raises ConfigurationError as `fleet_file_of`.
    """
    file = fleet_file_of(settings)
    found = (entry for entry in (file.models if file else ()) if model in entry.names)
    return next(found, None) or ModelEntry(name_of(model), model)


def models_named_in(path: str | Path | None) -> tuple[str, ...]:
    """Return the names of the models of the file at a path, or in the working directory; none of one that is wrong.

    What is wrong is logged once. Workers, gateways and `doctor`, which act upon the whole file, fail by it.
    """
    try:
        place = place_of(path)
        entries, wrong = read_entries([] if place is None else read_toml(place).get("models", []))
    except ConfigurationError as error:
        _tell_once(error.message)
    except OSError:
        # The working directory is gone, and a fleet.toml in it.
        return ()
    else:
        if not wrong:
            return tuple(entry.name for entry in entries)
        _tell_once(f"{place}: {'; '.join(wrong)}")
    return ()


def _tell_once(mistake: str) -> None:
    if mistake not in _TOLD:
        _TOLD.add(mistake)
        log.warning("the models of the fleet file are ignored: %s", mistake)


def place_of(path: str | Path | None) -> Path | None:
    """Return the path of the fleet file: what the settings name, else that of the working directory; None without."""
    if path is not None:
        return Path(path)
    default = Path.cwd() / DEFAULT_NAME
    return default if default.is_file() else None


def read_fleet_file(path: Path) -> FleetFile:
    """Return the fleet.toml at a path. Raises ConfigurationError that names it and every mistake in it."""
    tables = read_toml(path)
    mistakes = [f"{name}: no such table{did_you_mean(name, TABLES)}" for name in tables if name not in TABLES]
    routes, more = _routes(tables.get("routes", {}))
    models, wrong = read_entries(tables.get("models", []))
    both = [f"models: {name!r} is a route too" for entry in models for name in entry.names if name in routes]
    if mistakes := mistakes + more + wrong + both:
        raise ConfigurationError(f"{path}: {'; '.join(mistakes)}")
    return FleetFile(path, routes, models)


def read_toml(path: Path) -> dict[str, Any]:
    """Return the tables of a TOML file. Raises ConfigurationError that names it."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path} can't be read: {error.strerror}") from None
    except ValueError as error:
        # Raised for wrong UTF-8 and for wrong TOML.
        raise ConfigurationError(f"{path} is not TOML: {error}") from None


def _routes(tables: Any) -> tuple[dict[str, Route], list[str]]:
    """Return the routes of the table `routes`, and the mistakes in them."""
    if not isinstance(tables, Mapping):
        return {}, ["routes: tables expected, such as [routes.search]"]
    routes: dict[str, Route] = {}
    mistakes = [f"routes: {len(tables)}, and {MAX_ROUTES} are the limit"] if len(tables) > MAX_ROUTES else []
    for name, fields in tables.items():
        try:
            routes[name] = read_route(name, fields, tables.keys() - {name})
        except ConfigurationError as error:
            mistakes.append(f"routes.{name}: {error.message}")
    return routes, mistakes
