"""Puts what `make bench-bulk` measured into the document about bulk runs, so that no figure is typed by hand.

python -m rerank_dev.bench.bulk.render docs/bulk.md [--figures build/bench/bulk.json]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from rerank_dev.bench.render import figures_table
from rerank_dev.docs.marked import replace_part

FIGURES = Path("build/bench/bulk.json")
PART = "figures"


def main() -> None:
    """Write the table of all figures."""
    parser = argparse.ArgumentParser(prog="python -m rerank_dev.bench.bulk.render")
    parser.add_argument("document", type=Path)
    parser.add_argument("--figures", type=Path, default=FIGURES)
    chosen = parser.parse_args()
    table = figures_table(json.loads(chosen.figures.read_text(encoding="utf-8")))
    document = chosen.document.read_text(encoding="utf-8")
    chosen.document.write_text(replace_part(document, PART, table), encoding="utf-8")


if __name__ == "__main__":
    main()
