"""The table of settings in the docs is the one that the fields make."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from rerank_dev.docs.settings_table import main, render
from rerank_producer.gateway.settings import GatewaySettings
from rerank_shared.settings import Settings

BEGIN, END = "<!-- settings -->", "<!-- /settings -->"
GATEWAY_BEGIN, GATEWAY_END = "<!-- gateway-settings -->", "<!-- /gateway-settings -->"
PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


def test_the_readme_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check", str(PAGE)]) == 0, capsys.readouterr().err


@pytest.mark.parametrize(
    ("part", "prefix", "settings"),
    [("settings", "RERANK_", Settings), ("gateway-settings", "RERANK_GATEWAY_", GatewaySettings)],
)
def test_every_setting_has_a_row_with_its_meaning(part: str, prefix: str, settings: type[BaseSettings]) -> None:
    rows = [row.split(" | ") for row in render(part).splitlines()[2:]]
    assert [row[0] for row in rows] == [f"| `{prefix}{name.upper()}`" for name in settings.model_fields]
    assert all(len(row) == 3 and len(row[2]) > 20 for row in rows)


def test_defaults_are_written_as_a_variable_would_be() -> None:
    assert "| `RERANK_CACHE` | `true` |" in render("settings")
    assert "| `RERANK_GATEWAY_STAND_IN_FOR` | `rerank-*,jina-*,voyage-*,*` |" in render("gateway-settings")
    assert "| `RERANK_GATEWAY_CORS_ORIGINS` | unset |" in render("gateway-settings")


def test_a_table_is_checked_and_written_between_its_markers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nbetween\n{GATEWAY_BEGIN}\n{GATEWAY_END}\nafter\n")
    assert main(["--check", str(page)]) == 1
    assert "--write" in capsys.readouterr().err
    assert "old" in page.read_text()
    assert main(["--write", str(page)]) == 0
    assert page.read_text() == (
        f"before\n{BEGIN}\n{render('settings')}\n{END}\nbetween\n"
        f"{GATEWAY_BEGIN}\n{render('gateway-settings')}\n{GATEWAY_END}\nafter\n"
    )
    assert main(["--check", str(page)]) == 0
    page.write_text("no markers")
    assert main(["--write", str(page)]) == 1
    assert page.read_text() == "no markers"
    assert BEGIN in capsys.readouterr().err
