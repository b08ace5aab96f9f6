"""The locks are whole: they name all that the verbs install, so that nobody else's release reaches a user unasked."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
OWN = "rerank-fleet"
#: What each lock must hold beyond the dependencies of the project: extras, and files of requirements.
LOCKS = {
    "dev": (("dev",), ()),
    "export": (("dev", "export"), ()),
    "clients": (
        ("dev", "haystack", "langchain", "llama-index"),
        ("tests/clients/requirements.txt", "tests/integrations/requirements.txt"),
    ),
    "engines": (("dev",), ("tests/engines/requirements.txt",)),
    "peers": (("export-onnx",), ("ops/dev/rerank_dev/bench/engine/requirements-peers.txt",)),
    "gpu": (("cli", "gpu", "otel"), ()),
    "cohere": (("dev",), ("tests/clients/requirements-cohere.txt",)),
}
PYTHONS = ("3.11", "3.12", "3.13")


def environment(python: str | None = None) -> dict[str, str]:
    """The values that markers ask for, of this interpreter or of another version on the same machine."""
    own = {name: str(value) for name, value in default_environment().items()}
    return own if python is None else own | {"python_version": python, "python_full_version": f"{python}.0"}


def locked(lock: str, python: str | None = None) -> dict[str, str]:
    """Return the version of each package that a lock gives to a version of Python, by canonical name."""
    versions: dict[str, str] = {}
    for line in (ROOT / "ops" / "locks" / f"{lock}.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate(environment(python)):
            (pin,) = requirement.specifier
            assert pin.operator == "==", line
            assert versions.setdefault(canonicalize_name(requirement.name), pin.version) == pin.version
    return versions


def listed(extras: tuple[str, ...], files: tuple[str, ...]) -> Iterator[Requirement]:
    """Yield what the project asks for directly: its dependencies, those of extras, the lines of requirement files."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = [project["dependencies"], *(project["optional-dependencies"][extra] for extra in extras)]
    for requirement in (Requirement(text) for group in groups for text in group):
        if requirement.name == OWN:
            yield from listed(tuple(sorted(requirement.extras)), ())
        else:
            yield requirement
    for file in files:
        lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
        yield from (Requirement(line) for line in lines if not line.startswith("#"))


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("lock", LOCKS)
def test_every_range_of_the_project_is_met_on_every_python(lock: str, python: str) -> None:
    """Else pyproject.toml was changed and `make lock UPGRADE=` forgotten."""
    versions = locked(lock, python)
    wanted = list(listed(*LOCKS[lock]))
    assert len(wanted) > 10
    for requirement in wanted:
        if requirement.marker is None or requirement.marker.evaluate(environment(python)):
            assert requirement.specifier.contains(versions[canonicalize_name(requirement.name)]), requirement


def test_what_is_installed_is_what_is_locked() -> None:
    """Walks from the project over all that its extras need, as it is installed here."""
    versions = locked("dev")
    seen = set(needed())
    assert len(seen) > 50
    assert {name: metadata.version(name) for name in seen} == {name: versions.get(name) for name in seen}


def needed() -> Iterator[str]:
    """Yield the canonical name of each package that the extra `dev` brings here, by what packages say themselves."""
    waiting = [Requirement(f"{OWN}[dev]")]
    seen: set[tuple[str, str]] = set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name != OWN:
            yield name
        for extra in ("", *requirement.extras):
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            parts = map(Requirement, metadata.requires(name) or ())
            waiting += [p for p in parts if p.marker is None or p.marker.evaluate(environment() | {"extra": extra})]


def test_no_lock_says_where_its_packages_were_found() -> None:
    """An index belongs to the machine that locks, not to those that install."""
    for lock in LOCKS:
        text = (ROOT / "ops" / "locks" / f"{lock}.txt").read_text(encoding="utf-8")
        assert "://" not in text
        assert "--" not in text
