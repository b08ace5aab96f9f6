"""Every private name of others that this code touches is written down, and the installed releases have it."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from rerank_shared.queue.transport import private_names

ROOT = Path(__file__).parents[1]
SOURCES = [
    path
    for package in ("shared/rerank_shared", "producer/rerank_producer", "worker/rerank_worker", "ops/rerank_ops")
    for path in sorted((ROOT / package).rglob("*.py"))
]
THEIRS = ("kombu", "celery", "billiard", "vine", "redis", "prometheus_client")
LISTED = re.findall(r"^- `([\w.]+)`", private_names.__doc__ or "", re.MULTILINE)
#: Python's own, which no release of a package can take away.
STANDARD = {"_exit", "_replace", "_asdict", "_name_"}


def find(name: str) -> bool:
    """Whether `package.module.Class.name` exists, on the class or as what its `__init__` gives an instance."""
    parts = name.split(".")
    for end in range(len(parts) - 1, 0, -1):
        try:
            owner: Any = importlib.import_module(".".join(parts[:end]))
        except ImportError:
            continue
        *path, last = parts[end:]
        for part in path:
            owner = getattr(owner, part)
        return hasattr(owner, last) or any(
            re.search(rf"self\.{last}(?:: [^=\n]+)? = ", source_of(each)) for each in inspect.getmro(owner)[:-1]
        )
    return False


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def given_names(tree: ast.AST) -> set[str]:
    """Names that this code gives to something itself."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(node.attr)
    return found


def names_of_classes(trees: Iterable[ast.AST]) -> dict[str, set[str]]:
    """Return what each class of ours gives its instances, what its bases of ours give included."""
    classes: dict[str, list[ast.ClassDef]] = {}
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                classes.setdefault(node.name, []).append(node)

    def given(name: str) -> set[str]:
        found: set[str] = set()
        for node in classes.get(name, ()):
            found |= given_names(node)
            for base in node.bases:
                last = ast.unparse(base).partition("[")[0].rpartition(".")[2]
                found |= given(last) if last != name else set()
        return found

    return {name: given(name) for name in classes}


def touched() -> Iterator[str]:
    """Private names that are asked of something, in files that use those packages: of `self` where neither the class
    nor a base of ours gives them, of anything else where the same file doesn't."""
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in SOURCES}
    classes = names_of_classes(trees.values())
    for path, tree in trees.items():
        if not re.search(
            rf"^\s*(?:from|import) (?:{'|'.join(THEIRS)})\b", path.read_text(encoding="utf-8"), re.MULTILINE
        ):
            continue
        here = given_names(tree)
        for owner, node in attributes(tree):
            if is_private(node.attr) and node.attr not in STANDARD:
                of_self = owner and isinstance(node.value, ast.Name) and node.value.id == "self"
                if node.attr not in (classes[owner] if of_self else here):
                    yield node.attr


def attributes(tree: ast.AST, owner: str = "") -> Iterator[tuple[str, ast.Attribute]]:
    """Yield every attribute that is asked for, with the name of the innermost class around it."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Attribute):
            yield owner, node
        yield from attributes(node, node.name if isinstance(node, ast.ClassDef) else owner)


def source_of(owner: type) -> str:
    """Return a class's source; empty for one that was made without a class statement."""
    try:
        return inspect.getsource(owner)
    except OSError:
        return ""


def our_modules() -> Iterator[ModuleType]:
    for package in ("rerank_shared", "rerank_worker"):
        for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
            if not module.name.endswith("__main__"):
                yield importlib.import_module(module.name)


def overridden() -> Iterator[str]:
    """Private names of others that a class of ours has too: it overrides them, or sets them."""
    for module in our_modules():
        for _, owner in inspect.getmembers(module, inspect.isclass):
            if owner.__module__ != module.__name__:
                continue
            bases = [base for base in owner.__mro__ if base.__module__.partition(".")[0] in THEIRS]
            theirs = "".join(map(source_of, bases))
            given = {*re.findall(r"self\.(_\w+)\b", source_of(owner)), *vars(owner)} if bases else set()
            for name in filter(is_private, given):
                if re.search(rf"\bdef {name}\b|^    {name} = |self\.{name}(?:, [\w.]+)* = ", theirs, re.MULTILINE):
                    yield name


@pytest.mark.parametrize("name", LISTED)
def test_what_is_written_down_exists(name: str) -> None:
    assert find(name), f"{name} is gone from the installed release; {private_names.__name__} says what it was for"


def test_what_is_touched_is_written_down() -> None:
    used = {*touched(), *overridden()}
    written = {name.rpartition(".")[2] for name in LISTED}
    assert used - written == set()
    assert written - used == set(), "written down and not touched any more"
