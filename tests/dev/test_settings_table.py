"""The tables of settings in the docs are the ones that the fields make."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel

from rerank_dev.docs.settings_table import main, render, section
from rerank_ops.effective import SECTIONS
from rerank_producer.gateway.settings import GatewaySettings
from rerank_shared.settings import GATEWAY_PREFIX, PREFIX, TUNED_TITLE, Settings, TunedSettings

BEGIN, END = "<!-- settings -->", "<!-- /settings -->"
PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


def test_the_page_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check", str(PAGE)]) == 0, capsys.readouterr().err


@pytest.mark.parametrize(("title", "group"), SECTIONS.items())
def test_every_group_says_who_reads_it_and_has_a_row_for_each_setting(title: str, group: type[BaseModel]) -> None:
    heading, _, readers, _, _, _, *rows = section(title, group).splitlines()
    assert heading == f"## {title}"
    assert readers.startswith("Read by ")
    assert readers.endswith(".")
    cells = [row.split(" | ") for row in rows]
    prefix = GATEWAY_PREFIX if group is GatewaySettings else PREFIX
    assert [row[0] for row in cells] == [f"| `{prefix}{name.upper()}`" for name in group.model_fields]
    assert all(len(row) == 3 and len(row[2]) > 20 for row in cells)


def test_no_setting_is_left_out_and_what_tune_writes_stands_last() -> None:
    told = [name for group in SECTIONS.values() for name in group.model_fields]
    assert sorted(told) == sorted([*Settings.model_fields, *GatewaySettings.model_fields])
    assert list(SECTIONS.items())[-1] == (TUNED_TITLE, TunedSettings)
    assert render().rpartition("\n## ")[2].startswith(TUNED_TITLE)


def test_defaults_are_written_as_a_variable_would_be() -> None:
    assert "| `RERANK_CACHE` | `true` |" in render()
    assert "| `RERANK_GATEWAY_STAND_IN_FOR` | `rerank-*,jina-*,voyage-*,*` |" in render()
    assert "| `RERANK_GATEWAY_CORS_ORIGINS` | unset |" in render()


def test_tables_are_checked_and_written_between_their_markers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
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
