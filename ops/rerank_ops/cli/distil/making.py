"""Making the student: its training with a bar, and its export. Importing this module needs the extra `distil`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from rerank_ops.cli.console import err
from rerank_ops.cli.distil.job import Job, TrainingFiles, read_json, write_json
from rerank_ops.distil.labels import Floats
from rerank_ops.distil.lists import LearnedList
from rerank_ops.distil.training import loop
from rerank_ops.distil.training.batches import encoded_lists
from rerank_ops.distil.training.checkpoints import Check
from rerank_ops.distil.training.origin import Origin
from rerank_ops.distil.training.student import Student, make_student
from rerank_ops.export.pipeline import Wanted, export
from rerank_ops.export.sources.tokenizer import write_tokenizer
from rerank_shared.models.exported import bounds_of
from rerank_shared.models.manifest import MANIFEST_FILE, Manifest, read_manifest
from rerank_shared.settings import load_settings
from rerank_worker.engine.kernels import kernels_here
from rerank_worker.supervisor.cores import available_cores
from rerank_worker.tokenizing import PairTokenizer

#: Lists of a trial.
_TRIED = 8
#: Lists whose states tell which channels are far larger than the others.
_WATCHED = 16
#: Lists that the head is fitted on: with a thousand pairs it knows what there is to know.
_FITTED = 250


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes students of one origin."""

    job: Job
    origin: Origin
    tokenizer: PairTokenizer

    @classmethod
    def of(cls, job: Job, origin: Origin, scratch: Path) -> Maker:
        """Return a maker; `scratch` gets the tokenizer."""
        torch.set_num_threads(job.threads or len(available_cores()))
        return cls(job, origin, PairTokenizer(write_tokenizer(origin.source, scratch), prompt=origin.source.prompt))

    def sizes(self) -> tuple[int, int]:
        """Return the bytes of a student's weights, all and those that learn."""
        parameters = list(self._student().model.parameters())
        whole, trained = parameters, [each for each in parameters if each.requires_grad]
        return sum(4 * each.numel() for each in whole), sum(4 * each.numel() for each in trained)

    def seconds_a_step(self, lists: Sequence[LearnedList]) -> float:
        """Return the time of a training step here, by a short trial."""
        first = [_first_scores(each) for each in lists[:_TRIED]]
        with err.status("trying out how fast a student is trained"):
            return loop.seconds_a_step(self._student(), self._taught(lists[:_TRIED], first), self.job.recipe)

    def train(
        self,
        lists: tuple[Sequence[LearnedList], Sequence[LearnedList]],
        targets: tuple[Sequence[Floats], Sequence[Floats]],
        files: TrainingFiles,
    ) -> loop.Outcome:
        """Train a student on lists and held-out ones, each with their targets, and write its weights.

        A student that is there is not trained again. Raises as `Training.run`.
        """
        if (kept := read_json(files.outcome)) is not None:
            return _outcome(kept)
        training, held_out = (self._taught(*each) for each in zip(lists, targets, strict=True))
        student, recipe = self._student().smoothed(training.encoded[:_WATCHED]), self.job.recipe
        with err.status("fitting the head"):
            student.fit_head(training.encoded[:_FITTED], training.targets[:_FITTED])
        steps = recipe.steps_of(len(training.lists))
        with _bar(steps) as tell:
            outcome = loop.Training(student, recipe, training, held_out, steps, files.checkpoint, tell).run()
        student.save(self.origin, files.student)
        smoothing = student.rounding.smoothing if student.rounding else {}
        write_json(files.smoothing, {name: factors.tolist() for name, factors in smoothing.items()})
        write_json(files.outcome, asdict(outcome))
        # Of no more use, and larger than all the rest.
        files.checkpoint.unlink(missing_ok=True)
        return outcome

    def export(self, files: TrainingFiles) -> tuple[Path, Manifest]:
        """Export the student by the gate, and return where it lies.

        An export that is there is not made again, unless the bounds of the gate or the kernels to measure are others.
        """
        job, settings, start = self.job, load_settings(redis_url=self.job.url), time.perf_counter()
        directory = files.artefact(
            {
                "precision": job.precision,
                "name": job.name,
                "bounds": bounds_of(settings).model_dump(),
                "kernels": [kernel.precision for kernel in kernels_here(settings.kernel)],
            }
        )
        if (directory / MANIFEST_FILE).is_file():
            return directory, read_manifest(directory)
        wanted = Wanted(
            precision=job.precision,
            reduced_range=job.reduced_range,
            smoothing=_arrays(read_json(files.smoothing)),
            bounds=bounds_of(settings),
            kernel=settings.kernel,
            name=job.name,
            force=True,
        )
        with err.status("exporting") as status:

            def tell(step: str) -> None:
                status.update(step)
                err.print(f"{time.perf_counter() - start:7.1f} s  {step}", style="dim")

            return directory, export(str(files.student), directory, wanted, tell)

    def _student(self) -> Student:
        return make_student(self.origin, self.job.recipe.layers, weight_bits=self.job.weight_bits)

    def _taught(self, lists: Sequence[LearnedList], targets: Sequence[Floats]) -> loop.Taught:
        encoded = encoded_lists(self.tokenizer, lists, self.job.recipe.max_length)
        return loop.Taught(tuple(lists), tuple(encoded), tuple(targets))


def _first_scores(each: LearnedList) -> Floats:
    """Return first-stage scores of a list, which stand for targets in a trial."""
    return np.array([candidate.first for candidate in each.candidates], dtype=np.float32)


def _arrays(kept: dict[str, Any] | None) -> dict[str, Floats] | None:
    return None if kept is None else {name: np.array(values, np.float32) for name, values in kept.items()}


def _outcome(kept: dict[str, Any]) -> loop.Outcome:
    checks = tuple(Check(**each) for each in kept["checks"])
    return loop.Outcome(checks, Check(**kept["best"]), kept["steps"], kept["planned"], kept["seconds"])


@contextmanager
def _bar(steps: int) -> Iterator[Callable[[int, int, float, Check | None], None]]:
    """Show the training on stderr: steps with the loss, and a line for each check."""
    columns = (
        TextColumn("training"), BarColumn(), MofNCompleteColumn(), TextColumn("loss {task.fields[loss]:.2f}"),
        TimeElapsedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        shown = bar.add_task("training", total=steps, loss=0.0)

        def tell(step: int, _: int, loss: float, check: Check | None) -> None:
            bar.update(shown, completed=step, loss=loss)
            if check is not None:
                judged = "" if check.ndcg is None else f", nDCG@10 of judged lists {check.ndcg:.3f}"
                mean = f"{check.loss:.2f}" if check.loss is not None else "-"
                told = f"step {step:,} of {steps:,}: loss {mean}, held-out correlation {check.agreement:.3f}{judged}"
                err.print(told, style="dim")

        yield tell
