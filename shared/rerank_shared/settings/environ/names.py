"""Names of settings, and the errors for an unknown name or a wrong value.

An error uses the caller's term: the name of a keyword, or that of a variable.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from rerank_shared.errors import ConfigurationError, UnknownSetting
from rerank_shared.models.precision import settings_of_today
from rerank_shared.nearest import did_you_mean, nearest

PREFIX = "RERANK_"
#: Variables of the HTTP gateway, which has settings of its own (rerank_producer.gateway.settings).
GATEWAY_PREFIX = "RERANK_GATEWAY_"
#: Variables of earlier releases, each with the field that it sets. They are read for one more release.
FORMER = {"RERANK_PLAN": "layout"}
_WHERE = "`rerank-fleet doctor --all` lists them all."


def variables(prefix: str, fields: Iterable[str]) -> dict[str, str]:
    """Return the variable that each field is read from, by the field's name."""
    return {field: prefix + field.upper() for field in fields}


def former_values(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings that variables of an earlier release hold, and warn of each."""
    found = {name: field for name, field in FORMER.items() if name in environ}
    values = settings_of_today({field: environ[name] for name, field in found.items()})
    for name, field in found.items():
        now = f"{PREFIX}{field.upper()}={values[field]}"
        warnings.warn(f"{name} goes with the next release: set {now} in its place", FutureWarning, stacklevel=1)
    return values


def refuse_unknown(
    environ: Iterable[str], prefix: str, fields: Collection[str], elsewhere: Mapping[str, str] | None = None
) -> None:
    """Raise UnknownSetting if `environ` holds a variable with the prefix that no field is read from.

    `elsewhere` are variables of other settings that may have been meant, by their fields.
    """
    own = variables(prefix, fields)
    for name in sorted(set(environ) - {*own.values(), *FORMER}):
        if name.startswith(prefix):
            # Compared without the prefix, which would make all names similar.
            rest = name.removeprefix(prefix)
            alike = {**_of_gateway(rest), **(elsewhere or {}), **own}
            meant = nearest(rest, alike)
            hint = "" if meant is None else f"; did you mean {alike[meant]}?"
            raise UnknownSetting(f"{name} is no setting of Rerank Fleet{hint or '.'} {_WHERE}")


def mistakes(
    error: ValidationError, prefix: str, fields: Collection[str], given: Collection[str]
) -> ConfigurationError:
    """Return the mistakes in settings as one error of one line. `given` are the keywords of the caller.

    It is an UnknownSetting if one of the names is no setting.
    """
    lines, kind = [], ConfigurationError
    for item in error.errors(include_url=False, include_input=False):
        name = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            kind = UnknownSetting
            hint = did_you_mean(name.lower().removeprefix(prefix.lower()), fields)
            lines.append(f"{name} is no setting of Rerank Fleet{hint or '.'} {_WHERE}")
        else:
            lines.append(f"{_term(name, prefix, given)}: {item['msg']}" if name else str(item["msg"]))
    return kind("; ".join(lines))


def _term(name: str, prefix: str, given: Collection[str]) -> str:
    """Return the name by which the caller gave a setting; pydantic may report its variable, or its field."""
    field = name.lower().removeprefix(prefix.lower())
    if field in given:
        return field
    return name if name.isupper() else prefix + name.upper()


def _of_gateway(rest: str) -> dict[str, str]:
    """Return the gateway's variable, by the rest of its name, for a name that begins almost as the gateway's do."""
    first, _, last = rest.partition("_")
    return variables(PREFIX, [f"gateway_{last.lower()}"]) if last and nearest(first, ["gateway"]) else {}
