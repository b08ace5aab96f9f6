"""The table of examples/README.md: every program is in it, and every line of README's failure contract has one."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from support.examples import FOLDER, told

ROOT = FOLDER.parent
PROGRAMS = sorted(path.relative_to(FOLDER) for path in FOLDER.rglob("*.py"))
EVERY_PROGRAM = pytest.mark.parametrize("program", PROGRAMS, ids=str)
ROW = re.compile(r"^\| (.+?) \| (.+?) \|$", re.MULTILINE)
#: As the plan of the examples has it: short enough to read in one go.
MAX_LINES = 60


def rows(text: str, head: str) -> list[tuple[str, str]]:
    """Return the two columns of the table with this first line."""
    _, found, after = text.partition(f"{head}\n|---|---|\n")
    assert found, head
    return ROW.findall(after.partition("\n\n")[0])


def page_rows(head: str) -> list[tuple[str, str]]:
    """Return the rows of a table of examples/README.md."""
    return rows((FOLDER / "README.md").read_text(encoding="utf-8"), head)


def linked(cell: str) -> Path:
    """Return the file that a cell links to."""
    (target,) = re.findall(r"\]\(([^)]+)\)", cell)
    return Path(target)


def test_every_program_is_in_the_table_once() -> None:
    uses = [linked(program) for program, _ in page_rows("| program | what it shows |")]
    failures = [linked(program) for _, program in page_rows("| what happens | program |")]
    assert sorted(uses + failures) == PROGRAMS


def test_every_line_of_the_failure_contract_has_its_program() -> None:
    contract = rows((ROOT / "README.md").read_text(encoding="utf-8"), "| what happens | what the caller sees |")
    assert [happens for happens, _ in page_rows("| what happens | program |")] == [
        re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", happens) for happens, _ in contract
    ]


@EVERY_PROGRAM
def test_a_program_says_what_it_shows_how_to_run_it_and_what_it_prints(program: Path) -> None:
    text = (FOLDER / program).read_text(encoding="utf-8")
    shown, _, how = (ast.get_docstring(ast.parse(text)) or "").partition("\n\n")
    assert len(shown) > 20
    assert f"python examples/{program}" in how
    assert told(str(program.with_suffix("")))
    assert len(text.splitlines()) <= MAX_LINES


def test_the_readme_links_the_folder() -> None:
    assert "(examples/README.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
