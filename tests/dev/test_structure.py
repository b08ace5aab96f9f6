"""docs/structure.md: each file that it names is there, each room stands in it, and rooms stay small."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import pytest

from rerank_dev.docs.marked import replace_part
from rerank_dev.docs.rooms_table import PACKAGES, PART, render

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "structure.md").read_text(encoding="utf-8")
ROOMS = sorted(path.parent for folder in PACKAGES.values() for path in (ROOT / folder).rglob("__init__.py"))
#: The developers' modules that the verbs and the pages run.
RUN = {
    name
    for page in (ROOT / "Makefile", *sorted((ROOT / "docs").glob("*.md")), ROOT / "CONTRIBUTING.md")
    for name in re.findall(r"(?:\$\(DEV\)|\brerank_dev)((?:\.[a-z_]+)+)", page.read_text(encoding="utf-8"))
}
#: `__init__.py` is one of them.
MOST_FILES = 14


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`([a-z_]+/[\w./]+)`", PAGE))))
def test_what_the_page_names_is_there(name: str) -> None:
    assert (ROOT / name).exists()


def test_the_table_of_rooms_is_up_to_date() -> None:
    """If not: PYTHONPATH=ops/dev python -m rerank_dev.docs.rooms_table docs/structure.md"""
    assert replace_part(PAGE, PART, render()) == PAGE


@pytest.mark.parametrize("name", sorted(RUN))
def test_what_the_verbs_and_pages_run_is_there(name: str) -> None:
    assert importlib.util.find_spec(f"rerank_dev{name}") is not None


@pytest.mark.parametrize("room", ROOMS, ids=[str(room.relative_to(ROOT)) for room in ROOMS])
def test_rooms_are_small(room: Path) -> None:
    assert len(list(room.glob("*.py"))) <= MOST_FILES


def test_fixtures_of_one_directory_hide_no_others() -> None:
    """`from conftest import ...` finds the root's, as every other conftest is inside a package."""
    conftests = [path for path in (ROOT / "tests").rglob("conftest.py") if path.parent != ROOT / "tests"]
    assert [path for path in conftests if not path.with_name("__init__.py").exists()] == []


def test_a_room_of_tests_is_named_by_its_whole_path() -> None:
    """A package in a directory that is none has a bare name, as `models`, and hides what else has it."""
    tests = ROOT / "tests"
    rooms = [path.parent for path in tests.rglob("__init__.py")]
    assert [room for room in rooms if room.parent != tests and not (room.parent / "__init__.py").exists()] == []


def test_rooms_and_modules_of_tests_hide_no_others() -> None:
    tests = ROOT / "tests"
    rooms = {path.parent.name for path in tests.glob("*/__init__.py")}
    assert rooms & ({path.stem for path in tests.glob("*.py")} | set(sys.stdlib_module_names)) == set()
