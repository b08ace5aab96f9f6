"""`[[models]]` of fleet.toml: what workers serve that are not told another model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError

from rerank_shared.models.precision import PrecisionName
from rerank_shared.nearest import did_you_mean

MAX_MODELS = 64
_LONGEST_NAME = 256


def _usable(name: str) -> str:
    if not name.strip() or name != name.strip() or "," in name or not name.isprintable():
        raise ValueError("a name without commas, and without blanks around it, expected")
    return name


Name = Annotated[str, Field(max_length=_LONGEST_NAME), AfterValidator(_usable)]


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A model as the file names it. Requests ask for it by `name`, by an alias, or by the name that its own files say.

    `source`: as RERANK_MODEL. `precision` and `digest` are what the source must have. `share`: of the tokens of a
    process, beside the shares of its other models.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    name: Name
    source: Annotated[str, Field(min_length=1)]
    precision: PrecisionName | None = None
    max_length: Annotated[int, Field(strict=True, ge=8, le=32_768)] | None = None
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    aliases: tuple[Name, ...] = ()
    share: Annotated[float, Field(strict=True, gt=0, le=1e6, allow_inf_nan=False)] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The names that the file gives it."""
        return (self.name, *self.aliases)


_ENTRY = TypeAdapter(ModelEntry)
_FIELDS = tuple(ModelEntry.__dataclass_fields__)


def read_entries(tables: Any) -> tuple[tuple[ModelEntry, ...], list[str]]:
    """Return the entries of the table `models`, and the mistakes in them, each with its table and field."""
    if not isinstance(tables, Sequence) or isinstance(tables, str):
        return (), ["models: tables expected, such as [[models]]"]
    mistakes = [f"models: {len(tables)}, and {MAX_MODELS} are the limit"] if len(tables) > MAX_MODELS else []
    entries: list[ModelEntry] = []
    first: dict[str, str] = {}
    for number, fields in enumerate(tables):
        place = f"models[{number}]"
        try:
            entry = _ENTRY.validate_python(_with_source(fields))
        except ValidationError as error:
            mistakes += [f"{place}{_told(item)}" for item in error.errors(include_url=False, include_input=False)]
            continue
        entries.append(entry)
        for name in entry.names:
            if (other := first.setdefault(name, place)) != place:
                mistakes.append(f"{place}: {name!r} is a name of {other} too")
        if len({*entry.names}) < len(entry.names):
            mistakes.append(f"{place}.aliases: a name stands there twice")
    return tuple(entries), mistakes


def _with_source(fields: Any) -> Any:
    """Return the fields of a table; a name may be the source too, as one of the catalogue is."""
    named = isinstance(fields, Mapping) and "name" in fields
    return {"source": fields["name"], **fields} if named else fields


def _told(item: Any) -> str:
    field = ".".join(map(str, item["loc"]))
    if item["type"] == "unexpected_keyword_argument":
        return f".{field}: no such field{did_you_mean(field, _FIELDS)}"
    said = "a list expected" if item["type"] == "tuple_type" else item["msg"].removeprefix("Value error, ")
    return f".{field}: {said}" if field else f": {said}"
