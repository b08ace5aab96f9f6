"""The rooms of docs/structure.md: one line a package, from the first paragraph of its docstring.

python -m rerank_dev.docs.rooms_table docs/structure.md   bring the marked part up to date
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from rerank_dev.docs.marked import replace_part

#: The marked part of the document.
PART = "rooms"
ROOT = Path(__file__).parents[4]
PACKAGES = {
    "shared": "shared/rerank_shared",
    "producer": "producer/rerank_producer",
    "worker": "worker/rerank_worker",
    "ops": "ops/rerank_ops",
    "ops/dev, not installed": "ops/dev/rerank_dev",
}


def render() -> str:
    """Return a table for each package."""
    return "\n\n".join("\n".join(_table(title, ROOT / folder)) for title, folder in PACKAGES.items())


def _table(title: str, folder: Path) -> Iterator[str]:
    yield from (f"### {title}", "", "| room | holds |", "|---|---|")
    for path in sorted(folder.rglob("__init__.py")):
        words = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        room = path.parent.relative_to(ROOT).as_posix()
        yield f"| `{room}/` | {' '.join(words.partition(chr(10) * 2)[0].split())} |"


def main(arguments: list[str]) -> None:
    """Write the part into the document that the first argument names."""
    path = Path(arguments[0])
    path.write_text(replace_part(path.read_text(encoding="utf-8"), PART, render()), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
