"""What a caller may need to name is exported: every error, and every type in a public signature."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
import typing
from collections.abc import Callable, Iterator
from importlib.metadata import version
from types import ModuleType
from typing import Any

import pytest

import rerank_producer
import rerank_producer.testing
import rerank_shared
from rerank_producer import AsyncRerankClient, RerankClient
from rerank_shared.errors import BulkRefused, ConfigurationError, RerankError

PACKAGES = ("rerank_shared", "rerank_producer", "rerank_worker", "rerank_ops")
METHODS = ("rerank", "submit", "collect", "status", "model_info", "cancel")


def tree(root: type[RerankError]) -> Iterator[type[RerankError]]:
    yield root
    for child in root.__subclasses__():
        yield from tree(child)


#: Without those that are a package's own affair, and reach callers as what they derive from.
ERRORS = {error.__name__ for error in tree(RerankError) if error.__module__ == "rerank_shared.errors"}


def is_ours(name: str) -> bool:
    return name.partition(".")[0] in PACKAGES


def classes_in(hint: Any) -> Iterator[type]:
    """Yield the classes of ours that a resolved type hint is made of."""
    if isinstance(hint, type) and is_ours(hint.__module__):
        yield hint
    for part in typing.get_args(hint):
        yield from classes_in(part)


def aliases_in(annotated: Any) -> Iterator[str]:
    """Yield the names of ours that a function or a class spells and that stand for other types, such as JobClass."""
    module = sys.modules[annotated.__module__]
    origin = {
        alias.asname or alias.name: node.module or ""
        for node in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    for annotation in annotated.__annotations__.values():
        for node in ast.walk(ast.parse(getattr(annotation, "__forward_arg__", annotation))):
            if not isinstance(node, ast.Name) or node.id not in vars(module):
                continue
            if not isinstance(vars(module)[node.id], type) and is_ours(origin.get(node.id, module.__name__)):
                yield node.id


def functions_of(value: Any) -> Iterator[Callable[..., Any]]:
    """Yield the public functions of a function or of a class, those that it inherits of ours included."""
    if inspect.isfunction(value):
        yield value
    elif isinstance(value, type):
        for name, member in inspect.getmembers(value, inspect.isfunction):
            if is_ours(member.__module__) and (not name.startswith("_") or name in ("__init__", "__enter__")):
                yield member


def fields_of(value: Any) -> dict[str, Any]:
    """Return the hints of the public fields of a class of ours."""
    if not (isinstance(value, type) and is_ours(value.__module__)):
        return {}
    return {name: hint for name, hint in typing.get_type_hints(value).items() if not name.startswith("_")}


def named_by(value: Any) -> set[str]:
    """The names of ours in the public signature of an exported value."""
    names: set[str] = set()
    for function in functions_of(value):
        if function.__name__ == "__init__" and "__dataclass_fields__" in vars(value):
            continue
        names.update(aliases_in(function))
        for hint in typing.get_type_hints(function).values():
            names.update(found.__name__ for found in classes_in(hint))
    fields = fields_of(value)
    if fields and typing.is_typeddict(value):
        names.update(aliases_in(value))
    for hint in fields.values():
        names.update(found.__name__ for found in classes_in(hint))
    return names


@pytest.mark.parametrize("package", [rerank_producer, rerank_shared])
def test_every_error_of_the_tree_is_exported(package: ModuleType) -> None:
    assert set(package.__all__) >= ERRORS


@pytest.mark.parametrize("name", [name for name in rerank_producer.__all__ if name[0].isalpha()])
def test_every_type_that_a_public_signature_names_is_exported(name: str) -> None:
    assert set(rerank_producer.__all__) >= named_by(getattr(rerank_producer, name))


@pytest.mark.parametrize("name", rerank_producer.testing.__all__)
def test_every_type_that_the_fleet_in_memory_names_is_exported(name: str) -> None:
    exported = {*rerank_producer.testing.__all__, *rerank_producer.__all__}
    assert exported >= named_by(getattr(rerank_producer.testing, name))


def test_the_derived_list_finds_what_it_should() -> None:
    assert named_by(RerankClient) >= {
        "Documents", "JobStatus", "ModelInfo", "RequestOptions", "RerankHandle", "Settings"
    }  # fmt: skip
    assert named_by(rerank_producer.RequestOptions) >= {"CacheScope", "FirstStageOrder", "FusionMethod", "JobClass"}
    assert named_by(rerank_producer.RerankResponse) >= {"Result", "Timings", "Usage", "ModelInfo"}
    assert len(ERRORS) >= 22


def told(method: Callable[..., Any]) -> set[str]:
    """The names of errors that a docstring has after "Raises", or what is spelled like one."""
    _, _, raises = (inspect.getdoc(method) or "").partition("Raises ")
    return {word for word in re.findall(r"\b\w+\b", raises) if word in ERRORS or re.match("([A-Z][a-z]+){2,}$", word)}


@pytest.mark.parametrize("client", [RerankClient, AsyncRerankClient])
@pytest.mark.parametrize("name", METHODS)
def test_every_method_says_what_it_raises_or_where_that_is_said(client: type, name: str) -> None:
    method = getattr(client, name)
    assert told(method) <= ERRORS
    assert told(method) or f"see RerankClient.{name}" in (inspect.getdoc(method) or "")


@pytest.mark.parametrize("name", ["rerank", "collect"])
def test_whatever_may_become_of_a_job_is_told(name: str) -> None:
    """All errors but those of an installation and of bulk runs, each by its own name or by that of a parent."""
    not_of_jobs = {RerankError, *tree(ConfigurationError), *tree(BulkRefused)}
    for error in set(tree(RerankError)) - not_of_jobs:
        assert told(getattr(RerankClient, name)) & {parent.__name__ for parent in error.__mro__}, error


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_knows_its_version(package: str) -> None:
    assert importlib.import_module(package).__version__ == version("rerank-fleet")
