"""What the lanes did becomes outcomes: ahead by round, scores against the reference, floors, figures with targets."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from rerank_dev.bench.engine.__main__ import forms_of, kernel_here, unmade
from rerank_dev.bench.engine.children import ContenderFailed
from rerank_dev.bench.engine.floor import ModelShape, linear_shapes
from rerank_dev.bench.engine.lineup.contenders import (
    BY_KERNEL,
    BY_OPERATORS,
    CONTENDERS,
    NAMES,
    REFERENCE,
    Contender,
    headline,
    taking_part,
)
from rerank_dev.bench.engine.lineup.models import MODELS
from rerank_dev.bench.engine.lineup.targets import MINILM, WIDE, Targets
from rerank_dev.bench.engine.place import Place
from rerank_dev.bench.engine.race import Lane
from rerank_dev.bench.engine.results import GEMM, find_floors, floor_figures, judge, target_figures
from rerank_dev.bench.engine.speed import Field

SHAPE = ModelShape(hidden=10, feed_forward=40, layers=2)
OURS = Contender(BY_OPERATORS, "ours", "int8", "ours", "ours-int8")
TORCH = Contender(REFERENCE, "torch", "fp32", "cross_encoder", "hf")
GONE = Contender("gone", "gone", "fp32", "optimum_call", "plain")


def lane(*seconds: float, scores: list[float]) -> Lane:
    return Lane([{"seconds": s, "cpu_s": s / 2, "scores": scores} for s in seconds])


LANES = {
    OURS.name: lane(1.0, 2.0, scores=[0.1, 0.3]),
    TORCH.name: lane(6.0, 14.0, scores=[0.1, 0.2]),
    GONE.name: Lane(failure="not installed"),
}


def test_outcomes_hold_ratios_by_round_and_agreement_with_the_reference() -> None:
    ours, torch, gone = judge(LANES, [OURS, TORCH, GONE], 50, {TORCH.name: 4}, OURS.name)
    assert torch.ahead == [6.0, 7.0]
    assert ours.ahead == [1.0, 1.0]
    assert ours.max_difference == pytest.approx(0.1)
    assert ours.spearman == pytest.approx(1.0)
    assert ours.cpu_share == pytest.approx(0.5)
    assert (torch.batch_size, ours.batch_size) == (4, None)
    assert (gone.failure, gone.seconds, gone.spearman) == ("not installed", [], None)


def test_without_our_engine_and_the_reference_times_are_still_told() -> None:
    plain = Contender("plain-fp32", "plain", "fp32", "plain_session", "plain")
    (outcome,) = judge({"plain-fp32": lane(2.0, scores=[1.0, 2.0])}, [plain], 50, {}, OURS.name)
    assert (outcome.seconds, outcome.ahead, outcome.max_difference) == ([2.0], [], 0.0)


def test_figures_are_of_those_that_ran_and_have_a_target() -> None:
    outcomes = judge(LANES, [OURS, TORCH, GONE], 50, {}, OURS.name)
    targets = Targets({TORCH.name: 6.0, GONE.name: 2.0})
    (figure,) = target_figures("minilm-l6", outcomes, OURS.name, targets)
    assert figure.name == "minilm-l6, k=50: our int8 over torch (fp32)"
    assert (figure.value, figure.target, figure.met) == (6.5, "at least 6", True)


def test_a_floor_is_of_its_rounds_tokens_and_rates() -> None:
    def answer(rate: float) -> dict[str, Any]:
        rates = {f"{inner}x{outer}": {"96": rate, "768": rate / 2} for inner, outer in linear_shapes(SHAPE)}
        return {"seconds": 1.0, "cpu_s": 0.0, "scores": [], "rates": {"int8": rates, "fp32": rates}}

    # 24 * 10^2 * 2 = 4800 operations a token.
    products = {GEMM: Lane([answer(4.8e-6), answer(9.6e-6)])}
    ours = {BY_KERNEL: lane(1.0, 2.0, scores=[]), BY_OPERATORS: lane(2.0, 2.0, scores=[])}
    row, int8 = floors = find_floors(products | ours, 50, [1, 4], SHAPE)
    assert int8.seconds == row.seconds == pytest.approx([1.0, 2.0])
    assert [(floor.precision, floor.products) for floor in floors] == [("int8-row", "int8"), ("int8", "int8")]
    assert row.share == pytest.approx([1.0, 1.0])
    assert int8.share == pytest.approx([0.5, 1.0])
    assert find_floors(ours, 50, [1, 4], SHAPE) == find_floors(products, 50, [1, 4], SHAPE) == []
    by_kernel, by_operators = floor_figures("minilm-l6", floors, BY_KERNEL, Targets(floor_share=0.75))
    assert (by_kernel.target, by_kernel.met, by_operators.target) == ("at least 0.75", True, None)


def test_every_contender_has_its_own_name_and_row() -> None:
    names = [contender.name for contender in CONTENDERS]
    assert len({*names}) == len(names)
    assert {BY_KERNEL, BY_OPERATORS, REFERENCE} <= {*names}
    rows = [(contender.label, contender.precision) for contender in CONTENDERS]
    assert len({*rows}) == len(rows)


def test_a_peer_that_fails_drops_out_and_one_of_ours_ends_the_race(tmp_path: Path) -> None:
    said: list[str] = []
    place = Place(tmp_path, "/no/such/python")
    with ExitStack() as stack:
        missing = {OURS.files: "ModuleNotFoundError: No module named 'x'", GONE.files: "no optimum", TORCH.files: None}
        field = Field(place, MODELS[0], tmp_path / "requests.json", missing, stack, said.append)
        field.enter(GONE)
        field.enter(TORCH)
        assert said[0] == "gone: no optimum"
        assert "/no/such/python can't be started" in said[1]
        with pytest.raises(ContenderFailed, match="ours-int8-unpadded: ModuleNotFoundError"):
            field.enter(OURS)
        # It has no files to open.
        field = Field(place, MODELS[0], tmp_path / "requests.json", {OURS.files: None}, stack, said.append)
        with pytest.raises(ContenderFailed, match=r"ours-int8-unpadded: .*requests\.json"):
            field.enter(OURS)


def test_a_kernel_and_the_operators_run_the_same_files() -> None:
    kernel, operators = taking_part("avx512", [BY_KERNEL, BY_OPERATORS])
    assert kernel.files == operators.files == "ours-int8"
    assert (dict(kernel.options)["kernel"], dict(operators.options)["kernel"]) == ("avx512", "onnxruntime")


def test_without_a_kernel_the_operators_are_the_headline_and_have_targets_of_their_own() -> None:
    names = [contender.name for contender in taking_part(None, NAMES)]
    assert names == [name for name in NAMES if "int8-row" not in name]
    assert (headline("avx512"), headline(None)) == (BY_KERNEL, BY_OPERATORS)
    assert MINILM.here("avx512").ahead[BY_OPERATORS] == 1.55
    assert MINILM.here("avx2").ahead[BY_OPERATORS] == 1.0
    assert MINILM.here(None).ahead["plain-int8"] == 1.4
    assert BY_OPERATORS not in MINILM.here(None).ahead


def test_targets_and_models_name_contenders_that_there_are() -> None:
    for goals in (MINILM, WIDE):
        assert {*goals.vnni.ahead, *goals.avx2.ahead, *goals.operators.ahead} <= {*NAMES}
    for model in MODELS:
        assert {headline("avx512"), headline(None)} <= {*model.names} <= {*NAMES}


def test_a_kernel_that_is_named_and_can_not_run_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rerank_dev.bench.engine.__main__.kernels_here", lambda wanted: [])
    assert kernel_here("auto") is None
    with pytest.raises(SystemExit, match="--kernel avx512"):
        kernel_here("avx512")


def test_a_part_needs_the_files_that_it_opens() -> None:
    assert forms_of(["race"], [BY_KERNEL, BY_OPERATORS, "plain-int8"]) == ["hf", "ours-int8", "plain-int8"]
    assert forms_of(["processes"], NAMES) == ["hf", "ours-int8"]
    assert "ours-fp32" in forms_of(["profile"], [])


def test_what_a_run_needs_is_named_where_it_was_not_made() -> None:
    forms = ["hf", "ours-int8", "plain"]
    made = dict.fromkeys(forms)
    assert unmade(made, forms) == []
    assert unmade(made | {"plain": "no optimum"}, forms) == []
    assert unmade(made | {"ours-int8": "No module named 'bm25s'"}, forms) == ["ours-int8"]
    assert unmade({}, forms) == ["hf", "ours-int8"]
