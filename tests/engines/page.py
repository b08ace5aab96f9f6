"""The blocks of docs/dataframes.md, run as they stand there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

PAGE = (Path(__file__).parents[2] / "docs" / "dataframes.md").read_text(encoding="utf-8")
SECTIONS = re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, flags=re.MULTILINE | re.DOTALL)


def blocks() -> dict[str, list[str]]:
    """Return the blocks of code of each section that has some, by its title."""
    found = {title: re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL) for title, text in SECTIONS}
    return {title: codes for title, codes in found.items() if codes}


def run_blocks(title: str, files: Path, only: int | None = None) -> dict[str, Any]:
    """Run the blocks of a section, or one of them, with `files` in place of its `/data`; return the names they made.

    A single one may use what those before it import.
    """
    made: dict[str, Any] = {}
    for number, code in enumerate(blocks()[title]):
        if only is not None and number != only:
            code = "\n".join(line for line in code.splitlines() if line.startswith(("import ", "from ")))
        exec(compile(code.replace("/data/", f"{files}/"), f"docs/dataframes.md {title} {number}", "exec"), made)
    return made
