"""The small model of the benchmark: the first layers of the fleet's own, exported once and kept.

It takes few texts, so its quality says nothing about `export --depth`. Its speed is that of any model so deep.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from rerank_dev.bench.scheduling.load import Questions
from rerank_dev.bench.served import CLI
from rerank_shared.errors import ConfigurationError
from rerank_shared.models.manifest import MANIFEST_FILE
from rerank_shared.settings import bare_environ

DEPTH = 3
#: Enough for the export to fit a head and to measure it; more takes minutes more.
_LISTS, _LIST, _PAIRS = 40, 20, 200


def small_model(big: str, work: Path, questions: Questions) -> str:
    """Return the source of the first DEPTH layers of a model, exporting them where no earlier run has.

    Raises ConfigurationError with what the export said, where it wrote none.
    """
    directory = work / f"{big.rpartition('/')[-1]}-depth{DEPTH}"
    if not (directory / MANIFEST_FILE).is_file():
        print(f"exporting the first {DEPTH} layers of {big} to {directory}; minutes, once", file=sys.stderr)
        _export(big, directory, questions)
    return f"file:{directory.resolve()}"


def _export(big: str, directory: Path, questions: Questions) -> None:
    directory.parent.mkdir(parents=True, exist_ok=True)
    text = directory.with_suffix(".jsonl")
    rows = [{"query": each.text, "documents": each.documents[:_LIST]} for each in questions][:_LISTS]
    text.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    depth = ["--depth", str(DEPTH), "--text", str(text), "--depth-pairs", str(_PAIRS), "--layouts", "unpadded"]
    command = [sys.executable, "-c", CLI, "export", big, str(directory), *depth, "--force"]
    done = subprocess.run(command, env=bare_environ(), capture_output=True, text=True, check=False)
    # 1: the gate refuses so few layers, and they are written all the same.
    if not (directory / MANIFEST_FILE).is_file():
        raise ConfigurationError(f"the export of {big} ended with {done.returncode}: {done.stderr[-2_000:]}")
