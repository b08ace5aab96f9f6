"""Commands to worker processes over Celery's remote control: which models they serve, and a change of these.

A process answers a change at once and goes on with it; `LIST` tells how far it is. Fields that a process of a later
release adds are ignored.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from rerank_shared.errors import MalformedMessage

#: The names of the commands.
LIST, LOAD, UNLOAD = "models", "load_model", "unload_model"
Verb = Literal["load", "unload"]
#: `absent`: the model that is to be unloaded is not served.
ChangeState = Literal["begun", "done", "failed", "absent"]


@dataclass(frozen=True, slots=True)
class ModelChange:
    """What a process was asked: to load or to unload a model. `told` says how it ended."""

    verb: Verb
    model: str
    state: ChangeState
    told: str = ""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model that a process serves: its names, its pool, the size of its weights, and its share of tokens."""

    names: tuple[str, ...]
    pool: str
    precision: str
    max_length: int
    weights_bytes: int
    share: float | None = None


@dataclass(frozen=True, slots=True)
class ProcessModels:
    """The models of one process, the default one first, and the memory for them.

    `origin` says what the budget is; without a bound both numbers are None. `change` is the last one.
    """

    models: tuple[LoadedModel, ...]
    resident_bytes: int | None = None
    budget_bytes: int | None = None
    free_bytes: int | None = None
    origin: str = ""
    change: ModelChange | None = None


_CHANGE = TypeAdapter(ModelChange)
_PROCESS = TypeAdapter(ProcessModels)


def plain(told: ModelChange | ProcessModels) -> dict[str, Any]:
    """Return what a process tells as plain data."""
    return asdict(told)


def read_change(data: Any) -> ModelChange:
    """Return what a process told of a change. Raises MalformedMessage if it can't be read."""
    with _told_as_malformed():
        return _CHANGE.validate_python(data)


def read_models(data: Any) -> ProcessModels:
    """Return what a process told of its models. Raises MalformedMessage if it can't be read."""
    with _told_as_malformed():
        return _PROCESS.validate_python(data)


@contextmanager
def _told_as_malformed() -> Iterator[None]:
    try:
        yield
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"]))
        raise MalformedMessage(f"what a worker told of its models can't be read: {field}: {first['msg']}") from None
