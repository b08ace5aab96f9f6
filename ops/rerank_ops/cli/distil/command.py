"""`rerank-fleet distil`: a student of a user's own domain, from the scores of a teacher that the fleet serves."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import typer

from rerank_ops.cli.console import out
from rerank_ops.cli.distil import options as asked
from rerank_ops.cli.extras import require_distil
from rerank_ops.cli.options import RedisUrl
from rerank_ops.cli.rank.rerank import Up


def distil(
    teacher: asked.Teacher,
    directory: asked.Directory,
    corpus: asked.Corpus,
    queries: asked.Queries = None,
    qrels: asked.Qrels = None,
    test_queries: asked.TestQueries = None,
    test_qrels: asked.TestQrels = None,
    first_stage: asked.FirstStage = None,
    lists: asked.Lists = 1000,
    held_out: asked.HeldOut = 60,
    no_pseudo: asked.NoPseudo = False,
    student: asked.Student = None,
    layers: asked.Layers = 3,
    loss: asked.LossOption = asked.LossName.MARGIN_MSE,
    label_weight: asked.LabelWeight = 0.0,
    first_stage_weight: asked.BetaWeight = 1.0,
    max_length: asked.MaxLength = 128,
    epochs: asked.Epochs = 1,
    lr: asked.LearningRate = None,
    precision: asked.Precision = asked.StudentPrecision.INT8,
    reduced_range: asked.Reduced = None,
    name: asked.Name = None,
    teacher_length: asked.TeacherLength = None,
    other: asked.Other = None,
    other_queries: asked.OtherQueries = 50,
    timed: asked.Timed = 20,
    seed: asked.Seed = 0,
    max_minutes: asked.MaxMinutes = None,
    threads: asked.Threads = None,
    work: asked.Work = None,
    dry_run: asked.DryRun = False,
    force: asked.Force = False,
    up: Up = False,
    url: RedisUrl = None,
) -> None:
    """Make a small model of your own: the first layers of a ranking model, taught by TEACHER on your texts.

    The fleet scores lists of your documents, a student learns to order them so, and what comes out is exported by the
    quality gate and measured beside its teacher. Repeat the command after a kill, and it goes on.
    """
    if qrels is not None and queries is None:
        raise typer.BadParameter("judges the queries of --queries: name them", param_hint="--qrels")
    if test_qrels is not None and test_queries is None:
        raise typer.BadParameter("judges the queries of --test-queries: name them", param_hint="--test-qrels")
    if queries is None and (first_stage is not None or no_pseudo):
        raise typer.BadParameter("goes with --queries", param_hint="--first-stage" if first_stage else "--no-pseudo")
    if reduced_range is not None and precision is not asked.StudentPrecision.INT8:
        raise typer.BadParameter("is about int8 weights", param_hint="--reduced-range")
    require_distil()
    from rerank_ops.cli.distil.distillation import Distillation
    from rerank_ops.cli.distil.job import Job
    from rerank_ops.distil.learned import Wanted
    from rerank_ops.distil.material import Files
    from rerank_ops.distil.recipe import Recipe, learning_rate_for
    from rerank_ops.export.target import check_target
    from rerank_shared.models.cpu import host_features
    from rerank_shared.models.manifest import MANIFEST_FILE, read_manifest

    check_target(directory, force=force)
    if student is None and (Path(teacher) / MANIFEST_FILE).is_file():
        made_from = read_manifest(Path(teacher)).source.name
        raise typer.BadParameter(
            f"{teacher} is an export, whose weights no student begins with; it was made from {made_from}: name that",
            param_hint="--student",
        )
    place = directory.resolve()
    job = Job(
        teacher=teacher,
        student=student or teacher,
        directory=place,
        work=work or place.with_name(f"{place.name}.distil"),
        files=Files(corpus, queries, qrels, test_queries, test_qrels),
        first_stage=first_stage,
        wanted=Wanted(lists, held_out, seed, pseudo=not (no_pseudo or first_stage)),
        recipe=Recipe(
            layers=layers,
            loss=loss.value,
            label_weight=label_weight,
            beta_weight=first_stage_weight,
            max_length=max_length,
            epochs=epochs,
            learning_rate=lr or learning_rate_for(layers),
            seed=seed,
        ),
        precision=precision.value,
        reduced_range=host_features().saturates if reduced_range is None else reduced_range,
        name=name or place.name,
        teacher_length=teacher_length,
        other=other,
        other_queries=other_queries,
        timed=timed,
        max_minutes=max_minutes,
        threads=threads,
        url=url,
        up=up,
    )
    made = Distillation(job, command=shlex.join(["rerank-fleet", *sys.argv[1:]])).run(dry_run=dry_run, force=force)
    if made is None:
        return
    from rerank_ops.cli.model.export import how_to_serve
    from rerank_ops.distil.card import CARD_FILE

    out.print((place / CARD_FILE).read_text(encoding="utf-8"), soft_wrap=True)
    out.print(how_to_serve(Path(directory), made))
    if made.quality is not None and not made.quality.passed:
        raise typer.Exit(1)
