"""`make bench-engine`: race the contenders over each model, run several processes, profile; all into one JSON file.

A part that is run alone replaces its own entry of the file and leaves the others. A peer that can't be made or run
drops out and is shown with the reason; one of ours ends it all, with exit status 1.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from rerank_dev.bench.engine.children import ContenderFailed, child_environment
from rerank_dev.bench.engine.contenders import CONTENDERS
from rerank_dev.bench.engine.place import MODELS, OUTPUT, WORK, BenchModel, Place, counter
from rerank_dev.bench.engine.processes import Engines, run_processes
from rerank_dev.bench.engine.report.tables import summary
from rerank_dev.bench.engine.speed import run_race
from rerank_dev.bench.engine.texts import Request, Texts, beir_texts, build_requests, own_texts, write_requests
from rerank_dev.bench.record import machine

PARTS = ("race", "processes", "profile")
CALIBRATION_K, CALIBRATION_REQUESTS = 50, 6
PROFILED = (("ours-int8", "unpadded"), ("ours-fp32", "unpadded"), ("plain-int8", "unpadded"))
OURS_FILES = ("ours-int8", "ours-int8-static", "ours-fp32")


def main() -> None:
    """Run the chosen parts."""
    chosen = _parser().parse_args()
    texts = beir_texts(chosen.beir) if chosen.beir else own_texts()
    place = Place(chosen.work, chosen.peers_python)
    count = counter()
    requests = {k: build_requests(texts, k, chosen.rounds + 1, count) for k in chosen.k}
    used = max(len(group) for group in requests.values())
    # Always our own texts: files that were calibrated before are kept.
    calibration = build_requests(own_texts(), CALIBRATION_K, CALIBRATION_REQUESTS, count, skip=2 * used)
    write_requests(calibration, place.calibration)
    models = [model for model in MODELS if model.name in chosen.models]
    for model in models:
        say(f"{model.name}: making files")
        status = place.prepare(model, again=() if chosen.keep_ours else OURS_FILES)
        for name, reason in status.items():
            if reason:
                say(f"{model.name}: {name} not made: {reason}")
        if lacking := unmade(status):
            log = place.log(f"{model.name}-prepare")
            sys.exit(f"error: {model.name}: without {', '.join(lacking)} there is nothing to measure; see {log}")
        parts: dict[str, Callable[[], dict[str, Any]]] = {
            "race": partial(race_part, place, model, status, requests, chosen),
            "processes": partial(processes_part, place, model, requests, chosen.rounds),
            "profile": partial(profile_part, place, model, status),
        }
        for part in chosen.parts:
            say(f"{model.name}: {part}")
            try:
                record(chosen.output, part, model, texts, parts[part]())
            except ContenderFailed as error:
                # Peers drop out by themselves.
                sys.exit(f"error: {model.name}: no {part}: {error}")
    if chosen.output.is_file():
        print(summary(json.loads(chosen.output.read_text(encoding="utf-8"))))


def unmade(status: dict[str, str | None]) -> list[str]:
    """Return which files could not be made of those that every run needs: the weights, and our own engine's."""
    return [name for name in ("hf", *OURS_FILES) if status.get(name, "not made") is not None]


def race_part(
    place: Place,
    model: BenchModel,
    status: dict[str, str | None],
    requests: dict[int, list[Request]],
    chosen: argparse.Namespace,
) -> dict[str, Any]:
    """Race all contenders, or those that were chosen."""
    contenders = [contender for contender in CONTENDERS if not chosen.only or contender.name in chosen.only]
    return asdict(run_race(place, model, status, contenders, requests, say))


def processes_part(place: Place, model: BenchModel, requests: dict[int, list[Request]], rounds: int) -> dict[str, Any]:
    """Run several processes of our engine over the smaller requests."""
    group = requests[min(requests)]
    file = place.root(model) / "process-requests.json"
    write_requests(group, file)
    figures = run_processes(Engines(place, model, file), group, rounds)
    return {"k": min(requests), "figures": [asdict(figure) for figure in figures]}


def profile_part(place: Place, model: BenchModel, status: dict[str, str | None]) -> dict[str, Any]:
    """Profile our engine, and the plain export for comparison, each in a process of its own.

    Raises ContenderFailed where our engine can't be.
    """
    profiles = []
    for files, layout in PROFILED:
        if status.get(files) is None:
            command = [sys.executable, "-m", "rerank_dev.bench.engine.profile", str(place.root(model) / files)]
            done = subprocess.run(
                [*command, "--layout", layout, "--json"],
                env=child_environment(),
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                reason = f"{files}: not profiled: {(done.stderr.strip().splitlines() or ['no reason'])[-1]}"
                if files in OURS_FILES:
                    raise ContenderFailed(reason)
                say(reason)
            else:
                profiles.append({"files": files, "layout": layout, "shares": json.loads(done.stdout)})
    return {"profiles": profiles}


def record(path: Path, part: str, model: BenchModel, texts: Texts, found: dict[str, Any]) -> None:
    """Put one part of one model into the file, with where and on what it was measured."""
    data = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    entry = {"machine": machine(), "text": texts.name, "drawn": texts.drawn} | found
    data.setdefault(part, {})[model.name] = entry
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def say(text: str) -> None:
    """Tell how far it is: a whole run takes the better part of an hour."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m rerank_dev.bench.engine")
    names = [model.name for model in MODELS]
    parser.add_argument(
        "--peers-python", default=".venv-peers/bin/python", help="interpreter of the peers' environment"
    )
    parser.add_argument("--models", type=_words(names), default=names)
    parser.add_argument("--parts", type=_words(PARTS), default=list(PARTS))
    parser.add_argument("--only", type=_words([c.name for c in CONTENDERS]), help="race these contenders only")
    parser.add_argument("--k", type=lambda text: [int(k) for k in text.split(",")], default=[50, 100])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--beir", type=Path, help="collection in BEIR's layout to take texts from, as they are")
    parser.add_argument("--keep-ours", action="store_true", help="do not export our own files again")
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    return parser


def _words(allowed: Sequence[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        words = text.split(",")
        if unknown := sorted({*words} - {*allowed}):
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: choose among {', '.join(allowed)}")
        return words

    return parse


if __name__ == "__main__":
    main()
