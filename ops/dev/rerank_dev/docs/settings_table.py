"""The settings as the Markdown tables of docs/settings.md, made from the fields themselves so that none falls behind.

python -m rerank_dev.docs.settings_table                            print the tables
python -m rerank_dev.docs.settings_table --write docs/settings.md   replace what stands between the markers
python -m rerank_dev.docs.settings_table --check docs/settings.md   exit with 1 if that would change anything
"""

from __future__ import annotations

import argparse
import inspect
import sys
from pathlib import Path

from pydantic import BaseModel, SecretStr

from rerank_dev.docs.marked import replace_part
from rerank_ops.effective import SECTIONS
from rerank_producer.gateway.settings import GatewaySettings
from rerank_shared.errors import ConfigurationError
from rerank_shared.settings import GATEWAY_PREFIX, PREFIX

#: The marked part of the document.
PART = "settings"


def render() -> str:
    """Return a section for each group of settings."""
    return "\n\n".join(section(title, group) for title, group in SECTIONS.items())


def section(title: str, group: type[BaseModel]) -> str:
    """Return who reads a group, and its table: one row a setting, in the order in which they are declared."""
    prefix = GATEWAY_PREFIX if group is GatewaySettings else PREFIX
    # The first paragraph says who reads it; what follows is for those who read the code.
    readers = " ".join((inspect.getdoc(group) or "").partition("\n\n")[0].split())
    rows = [f"## {title}", "", readers, "", "| variable | default | meaning |", "|---|---|---|"]
    for name, field in group.model_fields.items():
        meaning = (field.description or "").replace("|", r"\|")
        rows.append(f"| `{prefix}{name.upper()}` | {_default(field.default)} | {meaning} |")
    return "\n".join(rows)


def main(arguments: list[str] | None = None) -> int:
    """Print, write or check the tables; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m rerank_dev.docs.settings_table", description="The tables of settings."
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--check", type=Path, metavar="FILE", help="exit with 1 if FILE's tables are out of date")
    what.add_argument("--write", type=Path, metavar="FILE", help="bring FILE's tables up to date")
    chosen = parser.parse_args(arguments)
    path: Path | None = chosen.check or chosen.write
    if path is None:
        print(render())
        return 0
    document = path.read_text(encoding="utf-8")
    try:
        wanted = replace_part(document, PART, render())
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
