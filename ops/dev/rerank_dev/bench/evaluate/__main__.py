"""Evaluates models on collections with `rerank-fleet evaluate`, on a private fleet of this machine.

python -m rerank_dev.bench.evaluate DIR... [--model NAME|DIR]... [--output FILE] [-- OPTIONS OF EVALUATE]

What the command prints of the first collection is kept as well, and beside each collection's scores lies its report.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rerank_dev.bench.record import machine

RESULT = Path("build/bench/evaluate.json")
_COMMAND = str(Path(sys.executable).with_name("rerank-fleet"))


def shown_command(data: Path, models: Sequence[str], options: Sequence[str]) -> str:
    """Return the command as a reader would type it, with the names of directories alone."""
    named = [word for model in models for word in ("--model", Path(model).name if Path(model).is_dir() else model)]
    return " ".join(["rerank-fleet evaluate", data.name, "--up", *named, *options])


def evaluated(data: Path, words: Sequence[str]) -> str:
    """Return what `evaluate` prints of a collection. Exits with its status where it fails; it has told why."""
    command = [_COMMAND, "evaluate", str(data), *words]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, env={**os.environ, "NO_COLOR": "1"})
    if done.returncode:
        sys.exit(done.returncode)
    return done.stdout


def without_queries(found: dict[str, Any]) -> dict[str, Any]:
    """Return an evaluation as plain data without the values of each query, which the table does not need."""
    systems = [{key: value for key, value in each.items() if key != "per_query"} for each in found["systems"]]
    return {**found, "systems": systems}


def main() -> None:
    """Evaluate all collections and write what came of it."""
    arguments = sys.argv[1:]
    split = arguments.index("--") if "--" in arguments else len(arguments)
    parser = argparse.ArgumentParser(prog="python -m rerank_dev.bench.evaluate")
    parser.add_argument("data", type=Path, nargs="+", help="collections in the layout of BEIR")
    parser.add_argument("--model", action="append", default=[], help="as `evaluate` takes it; unset: RERANK_MODEL")
    parser.add_argument("--output", type=Path, default=RESULT)
    chosen, options = parser.parse_args(arguments[:split]), arguments[split + 1 :]
    models = [word for model in chosen.model for word in ("--model", model)]
    folder = chosen.output.with_suffix("")
    collections, text = [], ""
    for data in chosen.data:
        place = data.resolve()
        saved = folder / place.name
        saved.mkdir(parents=True, exist_ok=True)
        words = ["--up", *models, *options, "--save-runs", str(saved)]
        print(f"{place.name}:", file=sys.stderr, flush=True)
        report = str(folder / f"{place.name}.html")
        collections.append(without_queries(json.loads(evaluated(place, [*words, "--json", "--report", report]))))
        if not text:
            # The same again as its users see it; the scores are there.
            again = [*words, *([] if "--no-model" in options else ["--reuse"])]
            text = f"$ {shown_command(place, chosen.model, options)}\n{evaluated(place, again)}"
    result = {"machine": machine(), "collections": collections, "text": text}
    chosen.output.write_text(json.dumps(result, indent=1, ensure_ascii=False), encoding="utf-8")


if __name__ == "__main__":
    main()
