"""The steps of a distillation: data, trial and prediction, labels, training, export, measuring. Each is kept."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table
from rich.text import Text

from rerank_ops.cli.console import err
from rerank_ops.cli.distil.asking import Asked
from rerank_ops.cli.distil.domains import Domain, held_out_domain, other_domain
from rerank_ops.cli.distil.job import Job, Places, read_json, write_json
from rerank_ops.cli.distil.making import Maker
from rerank_ops.distil.card import CARD_FILE, model_card
from rerank_ops.distil.labels import Labels, lists_digest, opened_labels
from rerank_ops.distil.learned import FirstStageSearch, Learned, learned_lists
from rerank_ops.distil.lists import BAND, LearnedList, pairs_in
from rerank_ops.distil.material import Material, read_material
from rerank_ops.distil.prediction import Prediction, Sizes, Speeds, lists_within, predicted, told
from rerank_ops.distil.quality import student_quality
from rerank_ops.distil.recipe import as_plain
from rerank_ops.distil.targets import ratio_of, targets_of
from rerank_ops.distil.training.loop import Outcome
from rerank_ops.distil.training.origin import open_origin
from rerank_ops.evaluate.first_stages import bm25, run_of
from rerank_ops.evaluate.oddities import Oddities
from rerank_ops.evaluate.prepared import BM25
from rerank_ops.evaluate.scoring import ModelScores
from rerank_ops.export.target import unfinished
from rerank_producer.bulk.committed.lock import locked
from rerank_shared.errors import ConfigurationError
from rerank_shared.models.manifest import Distilled, Manifest, Origin, StudentQuality, write_manifest


@dataclass(frozen=True, slots=True)
class _Data:
    material: Material
    learned: Learned
    domains: tuple[Domain, ...]


@dataclass(frozen=True, slots=True)
class Distillation:
    """One distillation; `command` is the one that was given, for the card."""

    job: Job
    command: str

    def run(self, *, dry_run: bool, force: bool) -> Manifest | None:
        """Make the student, or with `dry_run` predict what it takes and return None. Raises as its steps do."""
        job = self.job
        with tempfile.TemporaryDirectory() as scratch:
            with err.status("reading weights"):
                origin = open_origin(job.student, job.recipe.layers)
                maker = Maker.of(job, origin, Path(scratch))
            data = self._data()
            every = (*data.learned.training, *data.learned.held_out)
            places = Places(job, lists_digest(every), origin.source.origin.digest)
            if dry_run:
                with ExitStack() as stack:
                    self._tried(data, Labels(places.labels), Asked(job.teacher, job, stack), maker, every)
                return None
            job.work.mkdir(parents=True, exist_ok=True)
            with locked(job.work):
                return self._made(data, places, maker, force=force)

    def _made(self, data: _Data, places: Places, maker: Maker, *, force: bool) -> Manifest:
        job, held_out = self.job, data.learned.held_out
        labels = opened_labels(places.labels)
        with ExitStack() as stack:
            teacher = Asked(job.teacher, job, stack)
            training = self._planned(data, places, labels, teacher, maker)
            teacher.label((*held_out, *training), labels)
            scores = [self._scores(teacher, domain, "teacher") for domain in data.domains]
        for each in scores:
            labels.check_teacher(each.model)
        logits = [labels.of(each) for each in training], [labels.of(each) for each in held_out]
        beta = job.recipe.beta_weight * ratio_of(training, logits[0])
        targets = targets_of(training, logits[0], beta), targets_of(held_out, logits[1], beta)
        files = places.training(len(training), beta, labels.identity)
        outcome = maker.train((training, held_out), targets, files)
        if not outcome.learned:
            err.print(
                "note: training made it no better than its fitted head alone, whose weights are kept: more lists, or "
                "another --lr, may help",
                style="yellow",
            )
        artefact, manifest = maker.export(files)
        quality = self._measured(data, artefact, manifest, scores)
        distilled = self._told(data, maker, training, outcome, labels, beta, quality)
        return self._placed(artefact, manifest, distilled, force=force)

    def _data(self) -> _Data:
        job, oddities = self.job, Oddities()
        with err.status("reading the data, finding candidates"):
            material = read_material(job.files, oddities)
            learned = learned_lists(material, self._search(material, oddities), job.wanted, oddities)
            stage = BM25 if job.first_stage is None else job.first_stage.name.partition(".")[0]
            held_out = held_out_domain(f"{job.files.corpus.resolve().name}, held out", stage, learned, material)
            other, odd = None, Oddities()
            if job.other is not None:
                other = other_domain(job.other, job.other_queries, odd)
        for each in (*map(str, oddities.listed()), *(f"{job.other}: {each}" for each in odd.listed())):
            err.print(f"note: {each}", style="yellow")
        return _Data(material, learned, tuple(domain for domain in (held_out, other) if domain is not None))

    def _search(self, material: Material, oddities: Oddities) -> FirstStageSearch:
        run = self.job.first_stage
        if run is None:
            texts = {name: document.whole for name, document in material.documents.items()}
            return lambda queries, k: bm25(texts, queries, k).hits
        found = run_of(run.name, run, material.queries.texts.keys(), oddities).among(
            material.documents.keys(), oddities
        )
        return lambda queries, k: found.cut(k).hits

    def _planned(
        self, data: _Data, places: Places, labels: Labels, teacher: Asked, maker: Maker
    ) -> tuple[LearnedList, ...]:
        """Return the lists to learn from, as many as were planned at the first start of this job."""
        kept = read_json(places.plan)
        if kept is None:
            every = (*data.learned.training, *data.learned.held_out)
            prediction = self._tried(data, labels, teacher, maker, every)
            self._refuse_full_disk(prediction)
            kept = {"lists": prediction.sizes.lists}
            write_json(places.plan, kept)
        else:
            missing = len(labels.missing(data.learned.training[: kept["lists"]]))
            err.print(f"note: going on in {self.job.work}: {kept['lists']:,} lists, {missing:,} without labels")
        return data.learned.training[: kept["lists"]]

    def _tried(
        self, data: _Data, labels: Labels, teacher: Asked, maker: Maker, every: Sequence[LearnedList]
    ) -> Prediction:
        """Try out teacher and training for some seconds, print what all of it takes, and return it."""
        job = self.job
        speeds = Speeds(teacher.seconds_a_pair(every), maker.seconds_a_step(data.learned.training), *maker.sizes())
        lists = most = len(data.learned.training)
        if job.max_minutes is not None:
            lists = lists_within(
                job.max_minutes * 60, lambda count: self._predicted(data, labels, speeds, maker, count), most
            )
        prediction = self._predicted(data, labels, speeds, maker, lists)
        table = Table.grid(padding=(0, 2, 0, 0))
        for what, how_much in told(prediction):
            table.add_row(Text(what, style="dim"), Text(how_much))
        err.print(table)
        if lists < most:
            err.print(f"note: --max-minutes has room for {lists:,} of {most:,} lists", style="yellow")
        return prediction

    def _predicted(self, data: _Data, labels: Labels, speeds: Speeds, maker: Maker, lists: int) -> Prediction:
        training, held_out = data.learned.training[:lists], data.learned.held_out
        held = sum(len(domain.labelled.queries) for domain in data.domains if domain.kind == "held out")
        timed = min(self.job.timed, held) * BAND[1]
        sizes = Sizes(
            lists=len(training),
            pairs=pairs_in(training),
            held_out_pairs=pairs_in(held_out),
            unlabelled=pairs_in(labels.missing((*training, *held_out))),
            measured=sum(domain.pairs for domain in data.domains) + timed,
        )
        return predicted(sizes, speeds, self.job.recipe, maker.origin.layers)

    def _refuse_full_disk(self, prediction: Prediction) -> None:
        free = shutil.disk_usage(self.job.work).free
        if free < prediction.disk_bytes:
            raise ConfigurationError(
                f"{self.job.work} has {free / 1e6:,.0f} MB free, but {prediction.disk_bytes / 1e6:,.0f} MB may be "
                "needed: make room, or name another place with --work"
            )

    def _scores(self, model: Asked, domain: Domain, role: str) -> ModelScores:
        timed = self.job.timed if domain.kind == "held out" else 0
        return model.scores(domain, f"{role} {domain.kind}", timed=timed)

    def _measured(
        self, data: _Data, artefact: Path, manifest: Manifest, teacher: Sequence[ModelScores]
    ) -> tuple[StudentQuality, ...]:
        """Return the student's quality on each domain; nothing where workers refuse it."""
        if manifest.quality is None or not manifest.quality.passed:
            return ()
        with ExitStack() as stack:
            student = Asked(str(artefact), self.job, stack)
            return tuple(
                student_quality(
                    domain.name,
                    domain.kind,
                    domain.stage,
                    domain.labelled.qrels,
                    (known, self._scores(student, domain, "student")),
                    k=BAND[1],
                    judged_by=domain.judged_by,
                )
                for domain, known in zip(data.domains, teacher, strict=True)
            )

    def _told(
        self,
        data: _Data,
        maker: Maker,
        training: Sequence[LearnedList],
        outcome: Outcome,
        labels: Labels,
        beta: float,
        quality: tuple[StudentQuality, ...],
    ) -> Distilled:
        teacher = labels.teacher
        counts = {
            "lists": len(training),
            "real_lists": sum(each.kind == "real" for each in training),
            "pairs": pairs_in(training),
            "held_out": len(data.learned.held_out),
            "steps": outcome.best.step,
            "planned_steps": outcome.planned,
        }
        return Distilled(
            teacher=self.job.teacher if teacher is None else teacher.name,
            teacher_digest=None if teacher is None else teacher.digest,
            teacher_precision=None if teacher is None else teacher.precision,
            student_of=maker.origin.source.origin,
            recipe=as_plain(self.job.recipe),
            data=dict(data.material.digests),
            counts=counts,
            beta=beta,
            agreement=(outcome.checks[0].agreement, outcome.best.agreement),
            quality=quality,
        )

    def _placed(self, artefact: Path, manifest: Manifest, distilled: Distilled, *, force: bool) -> Manifest:
        """Copy the export to where it was asked for, with what is known of it now."""
        source = Origin(kind="directory", name=f"student of {distilled.teacher}", digest=manifest.source.digest)
        whole = manifest.model_copy(update={"source": source, "distilled": distilled})
        with unfinished(self.job.directory, force=force) as new:
            shutil.copytree(artefact, new, dirs_exist_ok=True)
            (new / CARD_FILE).write_text(model_card(whole, distilled, self.command), encoding="utf-8")
            write_manifest(new, whole)
        return whole
