"""The table of settings in the docs is the one that the fields make."""

from __future__ import annotations

from pathlib import Path

import pytest

from rerank_ops.settings_table import main, render
from rerank_shared.settings import Settings

BEGIN, END = "<!-- settings -->", "<!-- /settings -->"
PAGE = Path(__file__).parents[3] / "docs" / "settings.md"


def test_the_readme_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check", str(PAGE)]) == 0, capsys.readouterr().err


def test_every_setting_has_a_row_with_its_meaning() -> None:
    rows = [row.split(" | ") for row in render().splitlines()[2:]]
    assert [row[0] for row in rows] == [f"| `RERANK_{name.upper()}`" for name in Settings.model_fields]
    assert all(len(row) == 3 and len(row[2]) > 20 for row in rows)
    assert "| `RERANK_CACHE` | `true` |" in render()


def test_a_table_is_checked_and_written_between_its_markers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    assert main(["--check", str(page)]) == 1
    assert "--write" in capsys.readouterr().err
    assert "old" in page.read_text()
    assert main(["--write", str(page)]) == 0
    assert page.read_text() == f"before\n{BEGIN}\n{render()}\n{END}\nafter\n"
    assert main(["--check", str(page)]) == 0
    page.write_text("no markers")
    assert main(["--write", str(page)]) == 1
    assert page.read_text() == "no markers"
    assert BEGIN in capsys.readouterr().err
