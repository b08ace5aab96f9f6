"""docs/runbook.md: its commands, settings and headings are those that there are."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer.main

from rerank_dev.mixin.boards.files import DASHBOARDS
from rerank_ops.cli.app import app
from rerank_ops.mixin.alerts import ALERTS
from rerank_producer.gateway.settings import GatewaySettings
from rerank_shared.settings import GATEWAY_PREFIX, PREFIX, Settings

PAGE = (Path(__file__).parents[2] / "docs" / "runbook.md").read_text()
COMMANDS = sorted({found.strip() for found in re.findall(r"\brerank-fleet ([a-z][^`#\n]*)", PAGE)})
#: Placeholders for what the reader fills in.
GIVEN = re.compile(r"[A-Z_]+|\d+|[\d:,]+")


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_of_the_page_exists_with_its_options(line: str) -> None:
    command: Any = typer.main.get_command(app)
    for word in shlex.split(line):
        if word.startswith("--"):
            known = {name for parameter in command.params for name in parameter.opts}
            assert word in known | {"--help"}
        elif hasattr(command, "commands"):
            assert word in command.commands
            command = command.commands[word]
        else:
            assert GIVEN.fullmatch(word)


def test_the_settings_of_the_page_exist() -> None:
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    known |= {f"{GATEWAY_PREFIX}{name.upper()}" for name in GatewaySettings.model_fields}
    assert set(re.findall(r"RERANK_[A-Z_]*[A-Z]", PAGE)) <= known


def test_every_alert_has_its_place_and_every_place_its_alert() -> None:
    section = PAGE.partition("\n## Alerts\n")[2].partition("\n## ")[0]
    assert re.findall(r"^### (\w+)$", section, flags=re.MULTILINE) == [each.name for each in ALERTS]
    for part in section.split("\n### ")[1:]:
        assert [mark for mark in ("**Means.**", "**Confirm.**", "**Do.**") if mark not in part] == []


def test_links_and_panels_that_the_page_names_are_there() -> None:
    headings = re.findall(r"^#+ (.+)$", PAGE, flags=re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\(#([^)]+)\)", PAGE)) <= anchors
    titles = {panel.title for board in DASHBOARDS.values() for row in board.rows for panel in row.panels}
    assert set(re.findall(r"(?<!\*)\*([A-Z][^*\n]+[a-z])\*(?!\*)", PAGE)) <= titles | {"Before you upgrade"}
