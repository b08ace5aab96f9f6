"""Saved evaluations: a TREC run of each system for other evaluators, and each model's scores, to be read again.

NAME.trec           an order of documents, which every evaluator reads alike
NAME.scores.json    logits, speed and truncation, under a fingerprint of all that they depend on
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from rerank_ops.evaluate.dataset import Labelled
from rerank_ops.evaluate.first_stages import FirstStage
from rerank_ops.evaluate.scoring import Again, ModelScores
from rerank_ops.evaluate.systems import System
from rerank_ops.fusion.sweep import ScoredQuery
from rerank_producer.bulk.files.durable import write_whole
from rerank_shared.contract.schemas import ModelInfo
from rerank_shared.errors import ConfigurationError, InputRefused, RunDiffers
from rerank_shared.models.exported import told_digest
from rerank_shared.models.manifest import MANIFEST_FILE, read_manifest

T = TypeVar("T")
_RELEASE = 2


def fingerprint_of(
    data: Mapping[str, str], labelled: Labelled, stage: FirstStage, *, model: str, max_length: int | None, timed: int
) -> dict[str, Any]:
    """Return all that a model's scores depend on, by what messages call it; `model` is a name or a directory.

    The weights are those of an exported directory alone: what a name stands for, only its fleet knows.
    """
    return {
        "release": _RELEASE,
        **data,
        "queries evaluated": _digest(sorted(labelled.queries)),
        "first stage": _digest([[query, stage.hits.get(query, ())] for query in sorted(labelled.queries)]),
        "model": model,
        "the model's weights": _weights_of(Path(model)),
        "--max-length": max_length,
        "--timed": timed,
    }


def slug(name: str) -> str:
    """Return a name for a file."""
    return re.sub(r"[^\w.+-]+", "-", name.replace(" + ", "+")).strip("-")


def refuse_one_file(names: Sequence[str]) -> None:
    """Raise ConfigurationError where the runs of two systems would be one file."""
    files: dict[str, str] = {}
    for name in names:
        if (other := files.setdefault(slug(name), name)) != name:
            raise ConfigurationError(f"--save-runs: {other!r} and {name!r} would be one file: rename one of them")


def save_run(directory: Path, system: System) -> None:
    """Write a system's order as a TREC run. Raises OSError; InputRefused where an id can't stand in one."""
    tag = slug(system.name)
    lines = []
    for query in system.queries:
        documents = system.run.get(query, ())
        for name in (query, *documents):
            if name.split() != [name]:
                raise InputRefused(f"--save-runs: the id {name!r} has white space, which parts the columns of a run")
        last = len(documents)
        lines += [f"{query} Q0 {name} {rank} {last - rank + 1} {tag}\n" for rank, name in enumerate(documents, start=1)]
    write_whole(directory / f"{tag}.trec", "".join(lines))


def save_scores(directory: Path, scores: ModelScores, fingerprint: Mapping[str, Any]) -> None:
    """Write a model's scores. Raises OSError."""
    kept = {
        "fingerprint": dict(fingerprint),
        "name": scores.name,
        "model": scores.model.model_dump(),
        "pairs": scores.pairs,
        "truncated": scores.truncated,
        "cached": scores.cached,
        "again": None if scores.again is None else asdict(scores.again),
        "queries": [asdict(query) for query in scores.queries],
    }
    write_whole(_scores_file(directory, scores.name), json.dumps(kept))


def saved_scores(directory: Path, name: str, fingerprint: Mapping[str, Any]) -> ModelScores | None:
    """Return a model's saved scores; None where there are none.

    Raises RunDiffers, which names what differs, where they are of other data or settings; InputRefused for a damaged
    file.
    """
    return read_saved(_scores_file(directory, name), fingerprint, _scores)


def read_saved(path: Path, fingerprint: Mapping[str, Any], read: Callable[[Mapping[str, Any]], T]) -> T | None:
    """Return what `read` makes of a saved file; None where there is none. Raises as `saved_scores` does."""
    if not path.exists():
        return None
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if differing := [each for each, value in fingerprint.items() if kept["fingerprint"].get(each) != value]:
            raise RunDiffers(
                f"--reuse: {path} was made with other values of: {', '.join(differing)}. Without --reuse, they are "
                "made anew"
            )
        return read(kept)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputRefused(
            f"--reuse: {path} can't be read ({error!r}); remove it, and what it holds is made anew"
        ) from None


def _scores(kept: Mapping[str, Any]) -> ModelScores:
    again = kept["again"]
    return ModelScores(
        name=kept["name"],
        model=ModelInfo.model_validate(kept["model"]),
        queries=tuple(
            ScoredQuery(
                each["id"],
                tuple(each["documents"]),
                tuple(each["logits"]),
                tuple(each["scores"]),
                each["order"],
                tuple(each["tokens"]),
                tuple(each["cut"]),
            )
            for each in kept["queries"]
        ),
        pairs=kept["pairs"],
        truncated=kept["truncated"],
        cached=kept["cached"],
        again=None
        if again is None
        else Again(
            {name: tuple(logits) for name, logits in again["logits"].items()},
            tuple(again["latencies_ms"]),
            again["processes"],
            again["host"],
        ),
    )


def _scores_file(directory: Path, name: str) -> Path:
    return directory / f"{slug(name)}.scores.json"


def _weights_of(directory: Path) -> str | None:
    return told_digest(read_manifest(directory)) if (directory / MANIFEST_FILE).is_file() else None


def _digest(value: object) -> str:
    return sha256(json.dumps(value).encode()).hexdigest()
