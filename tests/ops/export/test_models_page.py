"""docs/models.md names what the code does."""

from __future__ import annotations

from pathlib import Path

from rerank_ops.export.graph.architecture import SURGERY
from rerank_shared.models.config_files import CONFIG_FILES, DEFAULT_MAX_LENGTH

PAGE = (Path(__file__).parents[3] / "docs" / "models.md").read_text(encoding="utf-8")


def test_every_family_with_graphs_of_ours_has_its_row() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("|") and "graphs of ours" in line]
    named = {name.strip("`") for row in rows for name in row.split("|")[1].strip().split(", ")}
    assert named == SURGERY


def test_every_file_that_is_read_is_named() -> None:
    for name in CONFIG_FILES:
        assert f"`{name}`" in PAGE
    assert f"without those {DEFAULT_MAX_LENGTH}" in PAGE
