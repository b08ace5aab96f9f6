"""Labels on the disk: the teacher's logits of each list, in files of many lists that are whole or not there.

    teacher.json     whose logits they are
    00000.json       {digest of a list's texts: its candidates' logits, in order}

A command that was killed asks for no label twice, and neither does one with other lists, as far as they are the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rerank_ops.distil.lists import LearnedList
from rerank_ops.distil.material import digest_of
from rerank_producer.bulk.files.durable import write_whole
from rerank_shared.contract.schemas import ModelInfo
from rerank_shared.errors import InputRefused, RunDiffers

Floats = npt.NDArray[np.float32]
#: Lists of a file: the most that a kill costs, and what the fleet is asked for at once.
CHUNK = 32
_TEACHER = "teacher.json"
#: What has to be the same in all labels.
_IDENTITY = ("digest", "precision", "max_length")


@dataclass(slots=True)
class Labels:
    """Logits by the key of a list, all of which lie in `directory`."""

    directory: Path
    logits: dict[str, list[float]] = field(default_factory=dict)
    teacher: ModelInfo | None = None

    @property
    def identity(self) -> dict[str, Any]:
        """What is the same in all labels that are there."""
        return {} if self.teacher is None else {name: getattr(self.teacher, name) for name in _IDENTITY}

    def of(self, each: LearnedList) -> Floats:
        """Return the logits of a list that is labelled, [candidates]."""
        return np.array(self.logits[each.key], dtype=np.float32)

    def missing(self, lists: Sequence[LearnedList]) -> list[LearnedList]:
        """Return the lists that have no labels yet."""
        return [each for each in lists if each.key not in self.logits]

    def check_teacher(self, teacher: ModelInfo) -> None:
        """Raise RunDiffers unless labels that are there are of this teacher; the first one is written down."""
        if self.teacher is None:
            write_whole(self.directory / _TEACHER, teacher.model_dump_json(indent=1))
            self.teacher = teacher
        differing = [name for name in _IDENTITY if getattr(teacher, name) != getattr(self.teacher, name)]
        if differing:
            raise RunDiffers(
                f"{self.directory} has labels of other weights of {self.teacher.name} (its {' and '.join(differing)} "
                "changed): remove that directory to label anew"
            )

    def add(self, logits: Mapping[str, Sequence[float]]) -> None:
        """Keep the logits of some lists. Raises OSError."""
        # Not their count: where one was removed, that would be the name of a file that is there.
        number = max((int(path.stem) for path in _files(self.directory)), default=-1) + 1
        write_whole(
            self.directory / f"{number:05}.json", json.dumps({name: list(each) for name, each in logits.items()})
        )
        self.logits.update({name: list(each) for name, each in logits.items()})


def opened_labels(directory: Path) -> Labels:
    """Return the labels in a directory, which is made if there is none. Raises InputRefused for damage, OSError."""
    directory.mkdir(parents=True, exist_ok=True)
    labels = Labels(directory)
    path = directory / _TEACHER
    try:
        if path.exists():
            labels.teacher = ModelInfo.model_validate_json(path.read_bytes())
        for path in _files(directory):
            read: dict[str, Any] = json.loads(path.read_bytes())
            labels.logits |= {name: [float(logit) for logit in each] for name, each in read.items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise InputRefused(f"{path} can't be read ({error}): remove it, and its lists are labelled anew") from None
    if labels.logits and labels.teacher is None:
        raise InputRefused(
            f"{directory} has labels, but no {_TEACHER} tells whose: remove that directory to label anew"
        )
    return labels


def lists_digest(lists: Sequence[LearnedList]) -> str:
    """Return the digest of all that is learned from lists: names, texts in their order, first-stage scores, grades."""
    return digest_of(json.dumps([asdict(each) for each in lists]))


def _files(directory: Path) -> Iterator[Path]:
    yield from sorted(path for path in directory.glob("*.json") if path.stem.isdecimal())
