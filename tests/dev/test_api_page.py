"""The page of the API is the one that signatures and docstrings make, and nothing public lacks a docstring."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import rerank_producer
import rerank_shared
from rerank_dev.docs.api_page import ADAPTERS, INTEGRATIONS, error_lines, exported, main, render
from rerank_dev.docs.api_source import Call, Class, Definition, Source
from rerank_shared.errors import RerankError

PAGE = Path(__file__).parents[2] / "docs" / "api.md"
MODULE = '''"""A module."""
__all__ = ["Thing", "act"]
_K = 3
_Text = Annotated[str, Strict()]
#: What it is
#: named.
Kind = Literal["a", "b"]


class Thing(Base):
    """A thing."""

    code: ClassVar[str] = "thing"
    name: Annotated[_Text, Field(max_length=3)] | None = None
    kinds: list[Kind] = Field(default_factory=list)
    size: int = Field(7, ge=1)
    _hidden: int = 0

    async def go(self, far: bool = True, *, word: str = "x", **more: Any) -> None:
        """Go."""

    def _stay(self) -> None: ...


def act(times: int = _K) -> Thing:
    """Act."""
'''


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Source:
    (tmp_path / "module_of_the_api_test.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    return Source("module_of_the_api_test", ["Kind"])


def definitions() -> Iterator[tuple[str, Definition]]:
    for package in ("rerank_producer", "rerank_shared"):
        yield from ((each.name, each) for each in exported(package))
    for name in ADAPTERS:
        yield from ((f"{name}.{each.name}", each) for each in Source(f"{INTEGRATIONS}.{name}").classes())


def test_the_page_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check", str(PAGE)]) == 0, capsys.readouterr().err


def test_every_exported_name_is_on_the_page() -> None:
    page = render()
    for name in {*rerank_producer.__all__, *rerank_shared.__all__} - {"__version__"}:
        assert re.search(rf"^#### {name}$|^\| `{name}` \||- \*\*{name}\*\*", page, re.MULTILINE), name


@pytest.mark.parametrize(
    ("name", "each"), list(definitions()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_whatever_is_public_has_a_docstring_and_types(name: str, each: Definition) -> None:
    assert each.doc, name
    for call in [each] if isinstance(each, Call) else each.methods if isinstance(each, Class) else []:
        assert call.doc, f"{name}.{call.name}"
        assert all(slot.type for slot in (*call.parameters, *call.options)), f"{name}.{call.name}"


def test_errors_are_a_tree_that_says_what_may_be_tried_again() -> None:
    lines = list(error_lines(RerankError))
    assert lines[0].startswith("- **RerankError** (`rerank_error`): ")
    assert any(line.startswith("  - **Overloaded** (`overloaded`, **retryable**): ") for line in lines)
    assert any(line.startswith("    - **UnknownModel** (`unknown_model`): ") for line in lines)


def test_a_class_is_read_from_its_source(source: Source) -> None:
    thing = source.get("Thing")
    assert isinstance(thing, Class)
    assert [(slot.name, slot.type, slot.default) for slot in thing.fields] == [
        ("name", "str | None", "None"),
        ("kinds", "list[Kind]", "[]"),
        ("size", "int", "7"),
    ]
    (go,) = thing.methods
    assert go.is_async
    assert [(slot.name, slot.default) for slot in go.parameters] == [("far", "True")]
    assert [(slot.name, slot.default) for slot in go.options] == [("word", '"x"'), ("**more", "")]


def test_functions_and_names_of_types_are_read_too(source: Source) -> None:
    act, kind = source.get("act"), source.get("Kind")
    assert isinstance(act, Call)
    assert (act.parameters[0].default, act.returns) == ("3", "Thing")
    assert kind.doc == "What it is named."


def test_a_page_is_checked_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "api.md"
    assert main(["--check", str(page)]) == 1
    assert "--write" in capsys.readouterr().err
    assert main(["--write", str(page)]) == 0
    assert main(["--check", str(page)]) == 0
    page.write_text(page.read_text() + "more")
    assert main(["--check", str(page)]) == 1
    assert main([]) == 0
    assert capsys.readouterr().out.startswith("# The Python API\n")
