"""Training of students: what they begin as, what they learn, and that a kill changes nothing of their weights."""

from __future__ import annotations

import errno
import json
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from rerank_ops.distil.labels import opened_labels
from rerank_ops.distil.recipe import Recipe
from rerank_ops.export.pipeline import Wanted, export
from rerank_shared.contract.schemas import ModelInfo
from rerank_shared.errors import ConfigurationError, RunDiffers
from rerank_shared.models.manifest import Manifest
from rerank_worker.tokenizing import PairTokenizer
from support.distil import taught_words, toy_lists
from support.model.artefacts import write_artefact
from support.model.toy_models import MAX_TOKENS, reference_logits, write_toy

Toy = Callable[[str], Path]
RECIPE = Recipe(layers=1, max_length=64, learning_rate=3e-3, lists_a_step=4, epochs=4, checks=6, patience=9)

pytestmark = pytest.mark.export


def student_of(directory: Path, layers: int = 1, **options: Any) -> Any:
    from rerank_ops.distil.training.origin import open_origin
    from rerank_ops.distil.training.student import make_student

    return make_student(open_origin(str(directory), layers), layers, reduced=False, **options)


def taught(directory: Path, count: int, seed: int, *, judged: bool = False) -> Any:
    from rerank_ops.distil.training.batches import encoded_lists
    from rerank_ops.distil.training.loop import Taught

    lists = toy_lists(count, seed=seed, judged=judged)
    encoded = encoded_lists(PairTokenizer(directory / "tokenizer.json"), lists, RECIPE.max_length)
    return Taught(tuple(lists), tuple(encoded), tuple(taught_words(lists)))


def training_of(
    directory: Path, checkpoint: Path, recipe: Recipe = RECIPE, *, count: int = 60, judged: bool = True, **options: Any
) -> Any:
    """Return a training of a fresh student whose head is fitted."""
    from rerank_ops.distil.training.loop import Training

    student, lists = student_of(directory), taught(directory, count, 1)
    student.fit_head(lists.encoded, lists.targets)
    held_out = taught(directory, 20, 2, judged=judged)
    steps = recipe.steps_of(len(lists.lists))
    return Training(student, recipe, lists, held_out, steps, checkpoint, **options)


@pytest.mark.parametrize("family", ["bert", "roberta", "xlm-roberta"])
def test_a_student_of_all_layers_is_the_model_apart_from_its_head(family: str, toy: Toy) -> None:
    """With the model's own head, whose weights no student takes, its logits would be the model's."""
    import torch

    from rerank_ops.distil.training.origin import open_origin
    from rerank_ops.distil.training.student import make_student

    directory = write_three_layers(family, toy(family).parent / f"{family}-three")
    origin = open_origin(str(directory), 2)
    student = make_student(origin, 2, weight_bits=None, reduced=False)
    assert not any("embeddings" in name for name in student.trained())
    student.load({name: torch.from_numpy(np.array(each)) for name, each in origin.tensors.items() if on_top(name)})
    lists = taught(directory, 3, 0)
    found = np.concatenate(student.scores(lists.encoded))
    shallow = shortened(directory, directory.parent / f"{family}-two", 2)
    pairs = [(each.query, candidate.text) for each in lists.lists for candidate in each.candidates]
    np.testing.assert_allclose(found, reference_logits(shallow, pairs), atol=1e-4)


def on_top(name: str) -> bool:
    return "pooler" in name or name.startswith("classifier")


def write_three_layers(family: str, directory: Path) -> Path:
    return write_toy(family, directory, num_hidden_layers=3)


def shortened(directory: Path, target: Path, layers: int) -> Path:
    """Copy a model, with fewer layers in its config; transformers leaves the weights of the others alone."""
    shutil.copytree(directory, target)
    config = json.loads((target / "config.json").read_text())
    (target / "config.json").write_text(json.dumps({**config, "num_hidden_layers": layers}))
    return target


def test_a_student_learns_what_its_head_alone_does_not_know(toy: Toy, tmp_path: Path) -> None:
    told: list[int] = []
    training = training_of(
        toy("bert"),
        tmp_path / "c.pt",
        count=200,
        judged=False,
        tell=lambda step, steps, loss, check: told.append(step),
    )
    outcome = training.run()
    assert told == list(range(1, outcome.steps + 1))
    assert (outcome.checks[0].step, outcome.checks[0].ndcg) == (0, None)
    assert outcome.learned
    assert outcome.best.agreement > outcome.checks[0].agreement + 0.1
    # What is kept are the weights of the best check.
    assert training._check(0, None).value == pytest.approx(outcome.best.value, abs=1e-6)


class Killed(BaseException):
    """Stands for a kill: nothing of ours catches it."""


@pytest.mark.parametrize("loss", ["margin-mse", "mse"])
def test_a_killed_training_ends_with_the_same_weights(loss: Any, toy: Toy, tmp_path: Path) -> None:
    recipe = Recipe(
        layers=1, loss=loss, label_weight=0.5, max_length=64, learning_rate=1e-3, epochs=1, checks=5, patience=9
    )
    whole = training_of(toy("bert"), tmp_path / "whole.pt", recipe)
    outcome = whole.run()
    assert all(0 < check.ndcg <= 1 for check in outcome.checks)
    for killed_at in (4, 17):

        def kill(step: int, steps: int, value: float, check: object, at: int = killed_at) -> None:
            if step == at:
                raise Killed

        # A checkpoint each step, and one that is killed between two of them.
        every = 0.0 if killed_at == 4 else 1e9
        with pytest.raises(Killed):
            training_of(toy("bert"), tmp_path / "k.pt", recipe, tell=kill, checkpoint_s=every).run()
    resumed = training_of(toy("bert"), tmp_path / "k.pt", recipe)
    again = resumed.run()
    assert again.checks == outcome.checks
    ours, theirs = resumed.student.copied(), whole.student.copied()
    assert all((ours[name] == theirs[name]).all() for name in theirs)


def test_a_training_that_diverges_is_told_with_its_remedy(toy: Toy, tmp_path: Path) -> None:
    training = training_of(toy("bert"), tmp_path / "c.pt")
    training.training.targets[0][:] = np.nan
    with pytest.raises(ConfigurationError, match=r"the training diverged: at step \d+ of 60 the loss is nan.*--lr"):
        training.run()


def test_a_damaged_checkpoint_is_told(toy: Toy, tmp_path: Path) -> None:
    (tmp_path / "c.pt").write_bytes(b"half of a file")
    with pytest.raises(ConfigurationError, match=r"c.pt is no checkpoint that can be read.*remove it"):
        training_of(toy("bert"), tmp_path / "c.pt").run()


def test_a_full_disk_is_an_error_of_the_disk_and_leaves_the_checkpoint_before(toy: Toy, tmp_path: Path) -> None:
    """A limit on the size of files stands for a full disk: the error is another number, its way is the same."""
    from rerank_ops.distil.training.checkpoints import load_state

    training = training_of(toy("bert"), tmp_path / "c.pt", checkpoint_s=0.0)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(step: int, steps: int, value: float, check: object) -> None:
        if step == 3:
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))

    training.tell = fill
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            training.run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.errno == errno.EFBIG
    kept = load_state(tmp_path / "c.pt")
    assert kept is not None
    assert kept.step == 2
    assert list(tmp_path.iterdir()) == [tmp_path / "c.pt"]


@pytest.mark.parametrize("bits", [7, 8])
def test_what_an_int8_export_rounds_is_rounded_already(toy: Toy, tmp_path: Path, bits: int) -> None:
    import torch

    from rerank_ops.distil.training.origin import open_origin
    from rerank_ops.distil.training.rounding import rounded_weight
    from rerank_ops.distil.training.student import make_student
    from rerank_ops.export.graph.arithmetic import quantise_weight
    from rerank_ops.export.sources.checkpoint import read_tensors

    directory = write_three_layers("bert", tmp_path / "three")
    student = make_student(open_origin(str(directory), 2), 2, weight_bits=bits, reduced=False)
    assert student.rounding is not None
    names = student.rounding.weights
    assert names
    assert all(".layer.0." in name for name in names)
    student.save(open_origin(str(directory), 2), tmp_path / "saved")
    saved = read_tensors(tmp_path / "saved")
    for name in names:
        weight = saved[f"bert.{name}"]
        values, scale = quantise_weight(np.ascontiguousarray(weight.T), bits)
        np.testing.assert_allclose((values * scale).T, weight, rtol=1e-6, atol=1e-7)
    # Gradients reach the weights behind the rounding.
    batch = student.batch(taught(directory, 2, 0).encoded)
    student.logits(batch).sum().backward()
    assert float(student.model.base_model.get_parameter(names[0]).grad.abs().sum()) > 0
    assert torch.equal(rounded_weight(torch.zeros(2, 3), bits), torch.zeros(2, 3))


def test_what_an_export_smooths_is_rounded_with_it(tmp_path: Path) -> None:
    """Where a channel is far larger than the others, training rounds in the steps that the graph has."""
    import torch

    from rerank_ops.distil.training.origin import open_origin
    from rerank_ops.distil.training.student import make_student
    from rerank_ops.export.graph.arithmetic import quantise_weight
    from rerank_ops.export.graph.bodies.naming import read_body
    from rerank_ops.export.sources.checkpoint import from_directory

    directory = write_toy("bert", tmp_path / "three", num_hidden_layers=3, hidden_size=256)
    origin = open_origin(str(directory), 2)
    student = make_student(origin, 2, weight_bits=7, reduced=False)
    with torch.no_grad():
        student.model.base_model.get_parameter("embeddings.LayerNorm.weight")[3] = 40.0
    student = student.smoothed(taught(directory, 12, 0).encoded)
    assert student.rounding is not None
    factors = student.rounding.smoothing["bert.encoder.layer.0.attention.qkv"]
    assert factors.argmax() == 3

    student.save(origin, tmp_path / "saved")
    saved = from_directory(tmp_path / "saved")
    dense = read_body(saved.config, saved.tensors).layers[0].qkv
    assert dense.name in student.rounding.smoothing
    weight = dense.weight * factors[:, None]
    values, scale = quantise_weight(weight, 7)
    np.testing.assert_allclose(values * scale, weight, rtol=1e-5, atol=1e-7)


def test_an_export_smooths_what_it_is_told_to(tmp_path: Path) -> None:
    import onnx

    directory, layer = write_three_layers("bert", tmp_path / "three"), "bert.encoder.layer.1.output.dense"
    inner = json.loads((directory / "config.json").read_text())["intermediate_size"]
    factors = np.ones(inner, np.float32)
    factors[5] = 4.0
    export(str(directory), tmp_path / "out", Wanted("int8", layouts=("unpadded",), smoothing={layer: factors}))
    graph = onnx.load(tmp_path / "out" / "unpadded.onnx", load_external_data=False).graph
    found = [each.name for each in graph.initializer if each.name.endswith(".smoothing")]
    assert found == [f"{layer}.smoothing"]


def test_a_student_is_exported_as_any_model(tmp_path: Path) -> None:
    from rerank_ops.distil.training.origin import open_origin
    from rerank_ops.distil.training.student import make_student

    directory = write_three_layers("bert", tmp_path / "three")
    origin = open_origin(str(directory), 2)
    student = make_student(origin, 2, weight_bits=None, reduced=False)
    lists = taught(directory, 40, 0)
    student.fit_head(lists.encoded, lists.targets)
    student.save(origin, tmp_path / "student")
    manifest = export(str(tmp_path / "student"), tmp_path / "out", Wanted("fp32", layouts=("unpadded",)))
    assert (manifest.family, manifest.surgery, manifest.max_length) == ("bert", True, MAX_TOKENS)
    pairs = [(each.query, candidate.text) for each in lists.lists[:3] for candidate in each.candidates]
    expected = np.concatenate(student.scores(lists.encoded[:3]))
    np.testing.assert_allclose(reference_logits(tmp_path / "student", pairs), expected, atol=1e-4)


def test_a_student_is_exported_anew_by_other_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A student that failed the gate stays refused otherwise, whatever its user allows since."""
    from rerank_ops.cli.distil import making
    from rerank_ops.cli.distil.job import TrainingFiles

    job = SimpleNamespace(precision="fp32", name="mine", reduced_range=False, url=None)
    maker: Any = making.Maker(job, None, None)  # type: ignore[arg-type]

    def export(source: str, directory: Path, wanted: Wanted, tell: object) -> Manifest:
        exported.append(wanted.bounds.min_spearman)
        return write_artefact(directory)

    exported: list[float] = []
    monkeypatch.setattr(making, "export", export)
    for spearman in (0.995, 0.995, 0.99):
        monkeypatch.setenv("RERANK_GATE_MIN_SPEARMAN", str(spearman))
        maker.export(TrainingFiles(tmp_path, "key"))
    assert exported == [0.995, 0.99]


def test_a_teacher_that_changed_before_it_is_measured_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All labels may be there by then, so that none of its answers is a label."""
    from rerank_ops.cli.distil.distillation import Distillation

    lists, teacher = toy_lists(2), ModelInfo(name="teacher", digest="abc", precision="int8", max_length=512)
    labels = opened_labels(tmp_path)
    labels.check_teacher(teacher)
    labels.add({each.key: (1.0,) * 5 for each in lists})
    monkeypatch.setattr(Distillation, "_planned", lambda *given: tuple(lists))
    changed = SimpleNamespace(model=teacher.model_copy(update={"digest": "def"}))
    monkeypatch.setattr(Distillation, "_scores", lambda *given: changed)
    data: Any = SimpleNamespace(learned=SimpleNamespace(held_out=()), domains=("held out",))
    job: Any = SimpleNamespace(teacher="teacher")
    places: Any = SimpleNamespace(labels=tmp_path)
    maker: Any = None
    with pytest.raises(RunDiffers, match="its digest changed"):
        Distillation(job, "")._made(data, places, maker, force=False)


def test_models_of_which_no_student_is_made_are_named(toy: Toy) -> None:
    from rerank_ops.distil.training.origin import open_origin

    with pytest.raises(ConfigurationError, match=r"its model_type is 'deberta-v2'; it takes models of bert, camembert"):
        open_origin(str(toy("deberta-v2")), 1)
    with pytest.raises(ConfigurationError, match=r"has 2 layers: --layers 2 at most"):
        open_origin(str(toy("bert")), 3)
    assert open_origin(str(toy("bert")), 2).layers == 2


def test_a_step_is_timed(toy: Toy) -> None:
    from rerank_ops.distil.training.loop import seconds_a_step

    assert seconds_a_step(student_of(toy("bert")), taught(toy("bert"), 8, 0), RECIPE) > 0
