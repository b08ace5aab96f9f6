"""Puts what `make bench-engine` measured into the document about the engine, so that no figure is typed by hand.

python -m rerank_dev.bench.engine.report.render docs/engine.md [--figures build/bench/engine.json]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from rerank_dev.bench.engine.place import OUTPUT
from rerank_dev.bench.engine.report import tables
from rerank_dev.docs.marked import replace_part

PARTS = {
    "engine-targets": tables.targets,
    "engine-races": tables.races,
    "engine-floors": tables.floors,
    "engine-profiles": tables.profiles,
    "engine-versions": tables.versions,
}


def main() -> None:
    """Write the parts that were measured; the others stay."""
    parser = argparse.ArgumentParser(prog="python -m rerank_dev.bench.engine.report.render")
    parser.add_argument("document", type=Path)
    parser.add_argument("--figures", type=Path, default=OUTPUT)
    chosen = parser.parse_args()
    data = json.loads(chosen.figures.read_text(encoding="utf-8"))
    document = chosen.document.read_text(encoding="utf-8")
    for name, part in PARTS.items():
        if text := part(data):
            document = replace_part(document, name, text)
    chosen.document.write_text(document, encoding="utf-8")


if __name__ == "__main__":
    main()
