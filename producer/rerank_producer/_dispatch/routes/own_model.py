"""Errors of a request that names no model: they say where the name in them comes from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rerank_shared.contract.messages import name_of
from rerank_shared.errors import NoWorkers, UnknownModel
from rerank_shared.settings import Settings
from rerank_shared.settings.environ.model_origin import model_origin


@contextmanager
def naming_origin(settings: Settings, *, named: bool) -> Iterator[None]:
    """Let an error about the model say which setting chose it, unless the request `named` it."""
    try:
        yield
    except (UnknownModel, NoWorkers) as error:
        if not named:
            origin = f"the request names no model, and {name_of(settings.model)!r} is {model_origin(settings)}"
            error.args = (f"{error.message} ({origin})", *error.args[1:])
        raise
