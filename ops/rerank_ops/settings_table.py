"""The settings as the Markdown table of docs/settings.md, made from the fields themselves so that it can't fall behind.

python -m rerank_ops.settings_table                            print the table
python -m rerank_ops.settings_table --write docs/settings.md   replace what stands between the markers
python -m rerank_ops.settings_table --check docs/settings.md   exit with 1 if that would change anything
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pydantic import SecretStr

from rerank_ops.marked import replace_part
from rerank_shared.errors import ConfigurationError
from rerank_shared.settings import PREFIX, Settings


def render() -> str:
    """Return the table, one row a setting, in the order in which they are declared."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        meaning = (field.description or "").replace("|", r"\|")
        rows.append(f"| `{PREFIX}{name.upper()}` | {_default(field.default)} | {meaning} |")
    return "\n".join(rows)


def insert(document: str) -> str:
    """Return `document` with the table between its markers. Raises ConfigurationError if it lacks them."""
    return replace_part(document, "settings", render())


def main(arguments: list[str] | None = None) -> int:
    """Print, write or check the table; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m rerank_ops.settings_table", description="The table of settings.")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--check", type=Path, metavar="FILE", help="exit with 1 if FILE's table is out of date")
    what.add_argument("--write", type=Path, metavar="FILE", help="bring FILE's table up to date")
    chosen = parser.parse_args(arguments)
    path: Path | None = chosen.check or chosen.write
    if path is None:
        print(render())
        return 0
    document = path.read_text(encoding="utf-8")
    try:
        wanted = insert(document)
    except ConfigurationError as error:
        print(f"error: {path}: {error.message}", file=sys.stderr)
        return 1
    if document == wanted:
        return 0
    if chosen.check:
        print(f"error: {path}: out of date, run python -m rerank_ops.settings_table --write {path}", file=sys.stderr)
        return 1
    path.write_text(wanted, encoding="utf-8")
    return 0


def _default(value: object) -> str:
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if value is None:
        return "unset"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


if __name__ == "__main__":
    sys.exit(main())
