"""What the lanes did becomes outcomes: ahead by round, scores against the reference, floors, figures with targets."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from rerank_dev.bench.engine.__main__ import OURS_FILES, unmade
from rerank_dev.bench.engine.children import ContenderFailed
from rerank_dev.bench.engine.contenders import CONTENDERS, HEADLINE, REFERENCE, Contender
from rerank_dev.bench.engine.floor import ModelShape, linear_shapes
from rerank_dev.bench.engine.place import MODELS, Place
from rerank_dev.bench.engine.race import Lane
from rerank_dev.bench.engine.speed import GEMM, Field, find_floors, judge, target_figures

SHAPE = ModelShape(hidden=10, feed_forward=40, layers=2)
OURS = Contender(HEADLINE, "ours", "int8", "ours", "ours-int8")
TORCH = Contender(REFERENCE, "torch", "fp32", "cross_encoder", "hf", at_least=6.0)
GONE = Contender("gone", "gone", "fp32", "optimum_call", "plain", at_least=2.0)


def lane(*seconds: float, scores: list[float]) -> Lane:
    return Lane([{"seconds": s, "cpu_s": s / 2, "scores": scores} for s in seconds])


LANES = {
    OURS.name: lane(1.0, 2.0, scores=[0.1, 0.3]),
    TORCH.name: lane(6.0, 14.0, scores=[0.1, 0.2]),
    GONE.name: Lane(failure="not installed"),
}


def test_outcomes_hold_ratios_by_round_and_agreement_with_the_reference() -> None:
    ours, torch, gone = judge(LANES, [OURS, TORCH, GONE], 50, {TORCH.name: 4})
    assert torch.ahead == [6.0, 7.0]
    assert ours.ahead == [1.0, 1.0]
    assert ours.max_difference == pytest.approx(0.1)
    assert ours.spearman == pytest.approx(1.0)
    assert ours.cpu_share == pytest.approx(0.5)
    assert (torch.batch_size, ours.batch_size) == (4, None)
    assert (gone.failure, gone.seconds, gone.spearman) == ("not installed", [], None)


def test_without_our_engine_and_the_reference_times_are_still_told() -> None:
    plain = Contender("plain-fp32", "plain", "fp32", "plain_session", "plain")
    (outcome,) = judge({"plain-fp32": lane(2.0, scores=[1.0, 2.0])}, [plain], 50, {})
    assert (outcome.seconds, outcome.ahead, outcome.max_difference) == ([2.0], [], 0.0)


def test_figures_are_of_those_that_ran_and_have_a_target() -> None:
    outcomes = judge(LANES, [OURS, TORCH, GONE], 50, {})
    (figure,) = target_figures(MODELS[0], outcomes, [OURS, TORCH, GONE])
    assert figure.name == "minilm-l6, k=50: our int8 over torch (fp32)"
    assert (figure.value, figure.target, figure.met) == (6.5, "at least 6", True)


def test_a_floor_is_of_its_rounds_tokens_and_rates() -> None:
    def answer(rate: float) -> dict[str, Any]:
        rates = {f"{inner}x{outer}": {"96": rate, "768": rate / 2} for inner, outer in linear_shapes(SHAPE)}
        return {"seconds": 1.0, "cpu_s": 0.0, "scores": [], "rates": {"int8": rates, "fp32": rates}}

    # 24 * 10^2 * 2 = 4800 operations a token.
    lanes = {GEMM: Lane([answer(4.8e-6), answer(9.6e-6)]), HEADLINE: lane(2.0, 2.0, scores=[])}
    int8, fp32 = find_floors(lanes, 50, [1, 4], SHAPE)
    assert int8.seconds == pytest.approx([1.0, 2.0])
    assert int8.share == pytest.approx([0.5, 1.0])
    assert fp32.share == []


def test_every_contender_has_its_own_name_and_row() -> None:
    names = [contender.name for contender in CONTENDERS]
    assert len({*names}) == len(names)
    assert {HEADLINE, REFERENCE} <= {*names}
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


def test_what_every_run_needs_is_named_where_it_was_not_made() -> None:
    made = dict.fromkeys(("hf", *OURS_FILES, "plain"))
    assert unmade(made) == []
    assert unmade(made | {"plain": "no optimum"}) == []
    assert unmade(made | {"ours-fp32": "No module named 'bm25s'"}) == ["ours-fp32"]
    assert unmade({}) == ["hf", *OURS_FILES]
