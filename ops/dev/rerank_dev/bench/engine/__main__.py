"""`make bench-engine`: race the contenders over each model, run several processes, profile; all into one JSON file.

A part that is run alone replaces its own entry of the file and leaves the others. Our engine runs by the best kernel
that this machine has; without one the headline is the same engine by ONNX Runtime's operators. A peer that can't be
made or run drops out and is shown with the reason; one of ours ends it all, with exit status 1.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, get_args

from rerank_dev.bench.engine.children import ContenderFailed, child_environment
from rerank_dev.bench.engine.lineup.contenders import CONTENDERS, NAMES, OPERATORS
from rerank_dev.bench.engine.lineup.models import MODELS, PARTS, BenchModel
from rerank_dev.bench.engine.place import OUTPUT, WORK, Place, counter
from rerank_dev.bench.engine.processes import Engines, run_processes
from rerank_dev.bench.engine.report.tables import summary
from rerank_dev.bench.engine.speed import run_race
from rerank_dev.bench.engine.texts import Request, Texts, beir_texts, build_requests, own_texts, write_requests
from rerank_dev.bench.record import machine
from rerank_shared.settings import KernelName
from rerank_worker.engine.kernels import Kernel, kernels_here

CALIBRATION_K, CALIBRATION_REQUESTS = 50, 6
#: Files, and whether their layers are to run by a kernel.
PROFILED = (("ours-int8", True), ("ours-int8", False), ("ours-fp32", False), ("plain-int8", False))
PROFILED_LAYOUT = "unpadded"


def main() -> None:
    """Run the chosen parts."""
    chosen = _parser().parse_args()
    kernel = kernel_here(chosen.kernel)
    texts = beir_texts(chosen.beir) if chosen.beir else own_texts()
    place = Place(chosen.work, chosen.peers_python)
    count = counter()
    models = [model for model in MODELS if model.name in chosen.models]
    requests = {
        k: build_requests(texts, k, chosen.rounds + 1, count)
        for k in dict.fromkeys(k for model in models for k in chosen.k or model.k)
    }
    used = max(len(group) for group in requests.values())
    # Always our own texts: files that were calibrated before are kept.
    calibration = build_requests(own_texts(), CALIBRATION_K, CALIBRATION_REQUESTS, count, skip=2 * used)
    write_requests(calibration, place.calibration)
    say(f"kernel: {kernel.precision if kernel else 'none'}")
    for model in models:
        parts = [part for part in model.parts if part in chosen.parts]
        names = [name for name in model.names if not chosen.contenders or name in chosen.contenders]
        status = prepared(place, model, forms_of(parts, names), keep_ours=chosen.keep_ours)
        own = {k: requests[k] for k in chosen.k or model.k}
        run: dict[str, Callable[[], dict[str, Any]]] = {
            "race": partial(race_part, place, model, status, names, own, kernel),
            "processes": partial(processes_part, place, model, own, chosen.rounds, kernel),
            "profile": partial(profile_part, place, model, status, kernel),
        }
        for part in [] if chosen.prepare else parts:
            say(f"{model.name}: {part}")
            try:
                record(chosen.output, part, model, texts, run[part]())
            except ContenderFailed as error:
                # Peers drop out by themselves.
                sys.exit(f"error: {model.name}: no {part}: {error}")
    if chosen.output.is_file():
        print(summary(json.loads(chosen.output.read_text(encoding="utf-8"))))


def kernel_here(wanted: KernelName) -> Kernel | None:
    """Return the best kernel of this machine, or the one that is named; None where none runs, or none is wanted."""
    found = kernels_here(wanted)
    if not found and wanted not in ("auto", OPERATORS):
        sys.exit(f"error: --kernel {wanted}: it is not installed, or this CPU can't run it")
    return found[0] if found else None


def forms_of(parts: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return the forms of a model that the parts and the contenders of these names open."""
    forms = ["hf"]
    if "race" in parts:
        forms += [contender.files for contender in CONTENDERS if contender.name in names]
    if "processes" in parts:
        forms.append("ours-int8")
    if "profile" in parts:
        forms += [files for files, _ in PROFILED]
    return list(dict.fromkeys(forms))


def prepared(place: Place, model: BenchModel, forms: Sequence[str], *, keep_ours: bool) -> dict[str, str | None]:
    """Make a model's files; return why a form could not be made. Exits where one that must be there is lacking."""
    say(f"{model.name}: making files")
    status = place.prepare(model, forms, again=() if keep_ours else [form for form in forms if _is_ours(form)])
    for name, reason in status.items():
        if reason:
            say(f"{model.name}: {name} not made: {reason}")
    if lacking := unmade(status, forms):
        log = place.log(f"{model.name}-prepare")
        sys.exit(f"error: {model.name}: without {', '.join(lacking)} there is nothing to measure; see {log}")
    return status


def unmade(status: Mapping[str, str | None], forms: Sequence[str]) -> list[str]:
    """Return which forms were not made of those that a run can't do without: the weights, and our own engine's."""
    return [form for form in forms if status.get(form, "not made") is not None and (form == "hf" or _is_ours(form))]


def race_part(
    place: Place,
    model: BenchModel,
    status: Mapping[str, str | None],
    names: Sequence[str],
    requests: dict[int, list[Request]],
    kernel: Kernel | None,
) -> dict[str, Any]:
    """Race the contenders of these names."""
    return asdict(run_race(place, model, status, names, requests, kernel, say))


def processes_part(
    place: Place, model: BenchModel, requests: dict[int, list[Request]], rounds: int, kernel: Kernel | None
) -> dict[str, Any]:
    """Run several processes of our engine over the smaller requests."""
    group = requests[min(requests)]
    file = place.root(model) / "process-requests.json"
    write_requests(group, file)
    engines = Engines(place, model, file, kernel.variant if kernel else OPERATORS)
    figures = run_processes(engines, group, rounds)
    return {"k": min(requests), "figures": [asdict(figure) for figure in figures]}


def profile_part(
    place: Place, model: BenchModel, status: Mapping[str, str | None], kernel: Kernel | None
) -> dict[str, Any]:
    """Profile our engine, and the plain export for comparison, each in a process of its own.

    Raises ContenderFailed where our engine can't be.
    """
    profiles = []
    for files, by_kernel in PROFILED:
        if status.get(files, "not made") is not None or (by_kernel and kernel is None):
            continue
        variant = kernel.variant if by_kernel and kernel else OPERATORS
        command = [sys.executable, "-m", "rerank_dev.bench.engine.profile", str(place.root(model) / files)]
        done = subprocess.run(
            [*command, "--layout", PROFILED_LAYOUT, "--kernel", variant, "--json"],
            env=child_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            reason = f"{files}: not profiled: {(done.stderr.strip().splitlines() or ['no reason'])[-1]}"
            if _is_ours(files):
                raise ContenderFailed(reason)
            say(reason)
        else:
            profiles.append({"files": files, "kernel": variant, "shares": json.loads(done.stdout)})
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
    parser.add_argument("--contenders", type=_words(NAMES), help=f"race these only: some of {', '.join(NAMES)}")
    parser.add_argument("--kernel", choices=get_args(KernelName), default="auto", help="the one to race with")
    parser.add_argument("--k", type=lambda text: [int(k) for k in text.split(",")], help="pairs of a request")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--beir", type=Path, help="collection in BEIR's layout to take texts from, as they are")
    parser.add_argument("--keep-ours", action="store_true", help="do not export our own files again")
    parser.add_argument("--prepare", action="store_true", help="make the files and measure nothing")
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    return parser


def _is_ours(form: str) -> bool:
    return form.startswith("ours-")


def _words(allowed: Sequence[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        words = text.split(",")
        if unknown := sorted({*words} - {*allowed}):
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: choose among {', '.join(allowed)}")
        return words

    return parse


if __name__ == "__main__":
    main()
