"""Numbers of a distillation: targets, recipe, prediction, labels on the disk, and the card."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rerank_ops.distil.labels import Labels, lists_digest, opened_labels
from rerank_ops.distil.learned import FEWEST_LISTS
from rerank_ops.distil.lists import Candidate, LearnedList
from rerank_ops.distil.prediction import Prediction, Sizes, Speeds, lists_within, predicted, told
from rerank_ops.distil.recipe import Recipe, key_of, learning_rate_for
from rerank_ops.distil.targets import ratio_of, targets_of
from rerank_shared.contract.schemas import ModelInfo
from rerank_shared.errors import ConfigurationError, InputRefused, RunDiffers
from support.distil import toy_lists

TEACHER = ModelInfo(name="teacher", digest="abc", precision="int8", max_length=512)
RECIPE = Recipe()


def with_scores(first: list[float], source: int | None = None) -> LearnedList:
    candidates = tuple(Candidate(f"d{n}", "", score, source=n == source) for n, score in enumerate(first))
    return LearnedList("q", "query", "real", candidates)


def test_the_target_is_the_logit_and_the_first_stage_on_its_scale() -> None:
    lists, logits = [with_scores([4.0, 2.0, 0.0])], [np.array([1.0, 5.0, 9.0], dtype=np.float32)]
    assert ratio_of(lists, logits) == pytest.approx(2.0)
    (target,) = targets_of(lists, logits, 2.0)
    np.testing.assert_allclose(target, [5.0, 5.0, 5.0])
    np.testing.assert_array_equal(targets_of(lists, logits, 0.0)[0], logits[0])


def test_a_source_neither_sets_the_scale_nor_wins_by_it() -> None:
    each = with_scores([1000.0, 2.0, 0.0], source=0)
    logits = [np.array([50.0, 1.0, -1.0], dtype=np.float32)]
    assert ratio_of([each], logits) == pytest.approx(1.0)
    (target,) = targets_of([each], [np.zeros(3, dtype=np.float32)], 1.0)
    # Cut to three deviations (of 1) above the mean of the others (1), then all less their mean.
    np.testing.assert_allclose(target, [2.0, 0.0, -2.0])


def test_a_first_stage_that_tells_nothing_counts_nothing() -> None:
    assert ratio_of([with_scores([1.0, 1.0])], [np.array([1.0, 2.0], dtype=np.float32)]) == 0.0


def test_the_learning_rate_rises_then_falls_to_nothing() -> None:
    rates = [RECIPE.rate_at(step, 100) for step in range(101)]
    assert rates[0] == pytest.approx(0.2)
    assert max(rates) == rates[4] == rates[5] == 1.0
    assert rates[100] == 0.0
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert (learning_rate_for(3), learning_rate_for(6)) == (1e-4, 3e-5)


@pytest.mark.parametrize(
    ("lists", "epochs", "steps"), [(1, 1, 1), (33, 1, 17), (33, 10, 165), (995, 3, 1493), (2, 4, 4)]
)
def test_steps_take_each_list_once_an_epoch(lists: int, epochs: int, steps: int) -> None:
    assert replace(RECIPE, epochs=epochs).steps_of(lists) == steps


def test_equal_parts_have_equal_keys_whatever_their_order() -> None:
    assert key_of({"a": 1, "b": [2]}) == key_of({"b": [2], "a": 1}) != key_of({"a": 2, "b": [2]})


def prediction(lists: int, label_s: float = 0.1, step_s: float = 1.0) -> Prediction:
    sizes = Sizes(lists=lists, pairs=8 * lists, held_out_pairs=80, unlabelled=8 * lists, measured=100)
    return predicted(sizes, Speeds(label_s, step_s, 1000, 100), RECIPE, 12)


def test_a_prediction_grows_with_the_work_and_names_it() -> None:
    small, large = prediction(100), prediction(200)
    assert (small.label_s, small.steps) == (80.0, 50)
    assert large.label_s == 2 * small.label_s
    assert large.train_s > small.train_s > 50
    assert small.export_s == large.export_s
    lines = dict(told(small))
    assert lines["to label"] == "800 pairs, 80 s"
    assert "100 lists, 800 pairs" in lines["to learn from"]


def test_a_budget_takes_as_many_lists_as_fit() -> None:
    whole = prediction(1000)
    assert lists_within(whole.total_s, prediction, 1000) == 1000
    half_s = whole.total_s / 2
    fewer = lists_within(half_s, prediction, 1000)
    assert FEWEST_LISTS < fewer < 500
    assert prediction(fewer).total_s <= half_s < prediction(fewer + 1).total_s
    with pytest.raises(ConfigurationError, match=r"--max-minutes 0.1: too little.*minutes are predicted for 32 lists"):
        lists_within(6, prediction, 1000)


def test_labels_are_read_again_and_none_is_missing_twice(tmp_path: Path) -> None:
    lists = toy_lists(5)
    labels = opened_labels(tmp_path / "labels")
    labels.check_teacher(TEACHER)
    labels.add({lists[0].key: (1.0, 2.0, 3.0, 4.0, 5.0), lists[2].key: (0.5,) * 5})
    labels.add({lists[1].key: (-1.0,) * 5})
    again = opened_labels(tmp_path / "labels")
    assert again.missing(lists) == lists[3:]
    np.testing.assert_array_equal(again.of(lists[0]), [1, 2, 3, 4, 5])
    assert again.teacher == TEACHER
    # A list whose texts changed is another one.
    assert again.missing(toy_lists(1, seed=1)) == toy_lists(1, seed=1)


def test_labels_behind_a_removed_file_are_not_written_over(tmp_path: Path) -> None:
    """As the message about a damaged file asks for."""
    lists = toy_lists(6)
    labels = opened_labels(tmp_path)
    labels.check_teacher(TEACHER)
    for each in lists[:4]:
        labels.add({each.key: (1.0,) * 5})
    (tmp_path / "00001.json").unlink()
    labels = opened_labels(tmp_path)
    for each in (lists[1], *lists[4:]):
        labels.add({each.key: (2.0,) * 5})
    assert opened_labels(tmp_path).missing(lists) == []


def test_lists_are_others_by_all_that_is_learned_from_them() -> None:
    """Their labels are the same, but no training on the one may go on with the other."""
    (each,) = toy_lists(1)
    first, *others = each.candidates
    digest = lists_digest([each])
    for changed in (replace(first, grade=2), replace(first, first=first.first + 1), replace(first, source=True)):
        other = replace(each, candidates=(changed, *others))
        assert other.key == each.key
        assert lists_digest([other]) != digest
    assert lists_digest([replace(each, id="another")]) != digest == lists_digest(toy_lists(1))


def test_labels_of_other_weights_are_not_mixed(tmp_path: Path) -> None:
    Labels(tmp_path).check_teacher(TEACHER)
    labels = opened_labels(tmp_path)
    labels.check_teacher(TEACHER.model_copy(update={"activation": "sigmoid"}))
    with pytest.raises(RunDiffers, match="its digest and precision changed"):
        labels.check_teacher(TEACHER.model_copy(update={"digest": "def", "precision": "fp32"}))


def test_labels_of_an_unknown_teacher_are_refused(tmp_path: Path) -> None:
    """Or the next teacher would be taken for theirs."""
    labels = opened_labels(tmp_path)
    labels.check_teacher(TEACHER)
    labels.add({"key": (1.0,)})
    (tmp_path / "teacher.json").unlink()
    with pytest.raises(InputRefused, match=r"no teacher.json tells whose: remove that directory"):
        opened_labels(tmp_path)


def test_a_torn_file_is_passed_over_and_a_damaged_one_told(tmp_path: Path) -> None:
    (tmp_path / "00000.json.99.tmp").write_text('{"torn": [1')
    assert opened_labels(tmp_path).logits == {}
    (tmp_path / "00000.json").write_text('{"torn": [1')
    with pytest.raises(InputRefused, match=r"00000.json can't be read"):
        opened_labels(tmp_path)
