"""fleet.toml: what a fleet serves, as a file beside the deployment. This module alone reads it.

Each of its tables has a field in FleetFile. A table that no field reads is an error, as an unknown setting is.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rerank_shared.errors import ConfigurationError
from rerank_shared.nearest import did_you_mean
from rerank_shared.routing.route import MAX_ROUTES, Route
from rerank_shared.routing.spec import read_route
from rerank_shared.settings.fleet import FleetSettings

#: The file of the working directory, where the settings name no other.
DEFAULT_NAME = "fleet.toml"
TABLES = ("routes",)


@dataclass(frozen=True, slots=True)
class FleetFile:
    """A fleet.toml as it was read. `routes` are by name."""

    path: Path
    routes: Mapping[str, Route] = field(default_factory=dict)


def fleet_file_of(settings: FleetSettings) -> FleetFile | None:
    """Return the file of RERANK_FLEET_FILE, else fleet.toml in the working directory, None without either.

    Raises ConfigurationError that names the file and every mistake in it.
    """
    if settings.fleet_file is not None:
        return read_fleet_file(settings.fleet_file)
    path = Path.cwd() / DEFAULT_NAME
    return read_fleet_file(path) if path.is_file() else None


def read_fleet_file(path: Path) -> FleetFile:
    """Return the fleet.toml at a path. Raises ConfigurationError that names it and every mistake in it."""
    tables = read_toml(path)
    mistakes = [f"{name}: no such table{did_you_mean(name, TABLES)}" for name in tables if name not in TABLES]
    routes, more = _routes(tables.get("routes", {}))
    if mistakes := mistakes + more:
        raise ConfigurationError(f"{path}: {'; '.join(mistakes)}")
    return FleetFile(path, routes)


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
