"""Saved times of a model, beside its saved scores: NAME.times.json, under a fingerprint of all that they depend on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rerank_ops.choose.latency import Times
from rerank_ops.evaluate.saved import read_saved, slug
from rerank_producer.bulk.files.durable import write_whole
from rerank_shared.contract.schemas import ModelInfo
from rerank_shared.scheduling.cost import CostParameters


def save_times(directory: Path, name: str, info: ModelInfo, times: Times, fingerprint: Mapping[str, Any]) -> None:
    """Write a model's times. Raises OSError."""
    plain = asdict(times)
    kept = {
        "fingerprint": dict(fingerprint),
        "model": info.model_dump(),
        "times": plain | {"cells": [[*cell, dict(values)] for cell, values in times.cells.items()]},
    }
    write_whole(_file(directory, name), json.dumps(kept))


def saved_times(directory: Path, name: str, fingerprint: Mapping[str, Any]) -> tuple[ModelInfo, Times] | None:
    """Return a model and its saved times; None where there are none. Raises as `saved_scores` does."""
    return read_saved(_file(directory, name), fingerprint, _times)


def _times(kept: Mapping[str, Any]) -> tuple[ModelInfo, Times]:
    plain = dict(kept["times"])
    cells = {(int(length), int(k)): dict(values) for length, k, values in plain.pop("cells")}
    cost = CostParameters(**plain.pop("cost"))
    return ModelInfo.model_validate(kept["model"]), Times(cells=cells, cost=cost, **plain)


def _file(directory: Path, name: str) -> Path:
    return directory / f"{slug(name)}.times.json"
