"""The settings as the Markdown table of docs/settings.md, made from the fields themselves so that it can't fall behind.

python -m rerank_dev.docs.settings_table                            print the tables
python -m rerank_dev.docs.settings_table --write docs/settings.md   replace what stands between the markers
python -m rerank_dev.docs.settings_table --check docs/settings.md   exit with 1 if that would change anything
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pydantic import SecretStr
from pydantic_settings import BaseSettings

from rerank_dev.docs.marked import replace_part
from rerank_producer.gateway.settings import GatewaySettings
from rerank_shared.errors import ConfigurationError
from rerank_shared.settings import Settings

#: The marked parts of the document.
PARTS: dict[str, type[BaseSettings]] = {"settings": Settings, "gateway-settings": GatewaySettings}


def render(part: str) -> str:
    """Return a table, one row a setting, in the order in which they are declared."""
    settings = PARTS[part]
    prefix = settings.model_config["env_prefix"]
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in settings.model_fields.items():
        meaning = (field.description or "").replace("|", r"\|")
        rows.append(f"| `{prefix}{name.upper()}` | {_default(field.default)} | {meaning} |")
    return "\n".join(rows)


def insert(document: str) -> str:
    """Return `document` with the tables between their markers. Raises ConfigurationError if it lacks them."""
    for part in PARTS:
        document = replace_part(document, part, render(part))
    return document


def main(arguments: list[str] | None = None) -> int:
    """Print, write or check the table; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m rerank_dev.docs.settings_table", description="The table of settings."
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--check", type=Path, metavar="FILE", help="exit with 1 if FILE's table is out of date")
    what.add_argument("--write", type=Path, metavar="FILE", help="bring FILE's table up to date")
    chosen = parser.parse_args(arguments)
    path: Path | None = chosen.check or chosen.write
    if path is None:
        print("\n\n".join(map(render, PARTS)))
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
        print(
            f"error: {path}: out of date, run python -m rerank_dev.docs.settings_table --write {path}", file=sys.stderr
        )
        return 1
    path.write_text(wanted, encoding="utf-8")
    return 0


def _default(value: object) -> str:
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, tuple):
        value = ",".join(value) or None
    if value is None:
        return "unset"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


if __name__ == "__main__":
    sys.exit(main())
