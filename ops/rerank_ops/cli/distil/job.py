"""A distillation that was asked for, and the files of its work: each is named by all that it depends on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rerank_ops.distil.learned import Wanted
from rerank_ops.distil.material import Files
from rerank_ops.distil.recipe import Recipe, as_plain, key_of
from rerank_producer.bulk.files.durable import write_whole
from rerank_shared.errors import InputRefused
from rerank_shared.models.precision import PrecisionName


@dataclass(frozen=True, slots=True)
class Job:
    """All options. `first_stage` is a TREC run, None for BM25; `student` the model whose layers are taken.

    `reduced_range`: int8 weights have 7 bits, in training and in the export.
    """

    teacher: str
    student: str
    directory: Path
    work: Path
    files: Files
    first_stage: Path | None
    wanted: Wanted
    recipe: Recipe
    precision: PrecisionName
    reduced_range: bool
    name: str
    teacher_length: int | None
    other: Path | None
    other_queries: int
    timed: int
    max_minutes: float | None
    threads: int | None
    url: str | None
    up: bool

    @property
    def weight_bits(self) -> int | None:
        """Bits of the weights, None where they are not rounded."""
        if self.precision != "int8":
            return None
        return 7 if self.reduced_range else 8

    @property
    def options(self) -> dict[str, Any]:
        """Options of every request to teacher and student."""
        return {} if self.teacher_length is None else {"max_length": self.teacher_length}


@dataclass(frozen=True, slots=True)
class Places:
    """Files of one job in its directory of work. `digest`: of all lists; `origin`: of the student's first weights."""

    job: Job
    digest: str
    origin: str

    @property
    def plan(self) -> Path:
        """What trials measured, and how many lists fit."""
        return self._of("plan", ".json", {**self._training(), "max minutes": self.job.max_minutes})

    @property
    def labels(self) -> Path:
        """The directory of labels."""
        return self._of("labels", "", self._teacher())

    def training(self, lists: int, beta: float, teacher: Mapping[str, Any]) -> TrainingFiles:
        """Return the files of a training on some of the lists, whose target has a ratio, by labels of a teacher."""
        key = key_of({**self._training(), "count": lists, "beta": beta, "labels of": teacher})
        return TrainingFiles(self.job.work, key)

    def _teacher(self) -> dict[str, Any]:
        return {"teacher": self.job.teacher, "length": self.job.teacher_length}

    def _training(self) -> dict[str, Any]:
        return {
            **self._teacher(),
            "lists": self.digest,
            "recipe": as_plain(self.job.recipe),
            "origin": self.origin,
            "rounded": {"bits": self.job.weight_bits, "smoothed": True},
        }

    def _of(self, name: str, suffix: str, parts: Mapping[str, Any]) -> Path:
        return self.job.work / f"{name}-{key_of(parts)}{suffix}"


@dataclass(frozen=True, slots=True)
class TrainingFiles:
    """Files of one training."""

    work: Path
    key: str

    @property
    def checkpoint(self) -> Path:
        """The file from which it goes on."""
        return self.work / f"training-{self.key}.pt"

    @property
    def outcome(self) -> Path:
        """How it went; there when the student is."""
        return self.work / f"outcome-{self.key}.json"

    @property
    def student(self) -> Path:
        """The student's fp32 weights, as the hub stores models."""
        return self.work / f"student-{self.key}"

    @property
    def smoothing(self) -> Path:
        """The smoothing that the student learned with."""
        return self.work / f"smoothing-{self.key}.json"

    def artefact(self, export: Mapping[str, Any]) -> Path:
        """Return the directory of the export, before it is measured; `export`: what it depends on besides weights."""
        return self.work / f"artefact-{key_of({**export, 'training': self.key})}"


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write an object. Raises OSError."""
    write_whole(path, json.dumps(value, indent=1))


def read_json(path: Path) -> dict[str, Any] | None:
    """Return an object; None where there is no file. Raises InputRefused for a damaged one."""
    if not path.exists():
        return None
    try:
        value = json.loads(path.read_bytes())
    except ValueError as error:
        raise InputRefused(f"{path} can't be read ({error}): remove it, and the command makes it anew") from None
    if not isinstance(value, dict):
        raise InputRefused(f"{path} holds no JSON object: remove it, and the command makes it anew")
    return value
