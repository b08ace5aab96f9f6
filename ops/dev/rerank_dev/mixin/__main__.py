"""Write the mixin's files.

python -m rerank_dev.mixin ops/mixin                                    bring its files up to date
python -m rerank_dev.mixin DIR --runbook https://wiki.example/rerank    with links to a copy of docs/runbook.md
"""

from __future__ import annotations

import argparse
from pathlib import Path

from rerank_dev.mixin.boards.files import board_files
from rerank_dev.mixin.rule_files import rule_files

#: Where alerts lead unless told otherwise: the runbook of this repository.
RUNBOOK = "docs/runbook.md"


def mixin_files(runbook: str = RUNBOOK) -> dict[str, str]:
    """Return all files by their paths in the mixin."""
    return rule_files(runbook) | {f"dashboards/{name}": text for name, text in board_files().items()}


def main(arguments: list[str] | None = None) -> None:
    """Write the files into a directory."""
    parser = argparse.ArgumentParser(prog="python -m rerank_dev.mixin", description="Write the mixin's files.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--runbook", default=RUNBOOK, metavar="URL", help="address of the runbook")
    chosen = parser.parse_args(arguments)
    for name, text in mixin_files(chosen.runbook).items():
        path = chosen.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
