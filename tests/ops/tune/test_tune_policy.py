"""Which profile follows from which measurements; times are made up, in the shapes that hosts were seen to give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from rerank_ops.tune.grid import CURVES, SETTING, SIZES, Cell
from rerank_ops.tune.policy import Choice, Ratio, choose, choose_layout, default
from rerank_ops.tune.rounds import Series
from rerank_ops.tune.team import Team, teams_for
from rerank_shared.models.precision import LayoutName, PrecisionName
from rerank_shared.settings import TunedSettings

#: What a round's neighbours make of a time: four rounds, the same for all points, as interleaving gives them.
NOISE = (1.0, 1.04, 0.97, 1.01)
CPU: dict[LayoutName, float] = {"unpadded": 1.0, "padded": 1.05, "varlen": 1.02, "packed": 1.1}


def series(
    best: Mapping[LayoutName, float],
    growth: Mapping[LayoutName, float] | None = None,
    noise: Sequence[float] = NOISE,
) -> list[Series]:
    """Return points of which each doubling of the size costs `growth` times as much; `best` is that of the smallest."""
    points = []
    for curve in CURVES:
        for layout, start in best.items():
            for step, size in enumerate(SIZES[curve]):
                seconds = start * (growth or {}).get(layout, 1.0) ** step
                points.append(Series(Cell(curve, layout, size), 1000, 32, [seconds * part for part in noise]))
    return points


def chosen(points: Sequence[Series], teams: Sequence[Team] = (), precision: PrecisionName = "int8") -> Choice:
    return choose(points, teams, precision=precision, max_length=512, cores=2)


def test_a_cpu_keeps_every_default() -> None:
    choice = chosen(series(CPU, {"padded": 1.3, "varlen": 1.2, "packed": 1.5}))
    assert choice.values == {
        name: default(name) for name in ("layout", "run_pairs", "run_tokens", "budget_tokens", "max_wait_ms", "threads")
    }
    assert set(choice.reasons) == set(choice.values)
    assert "1.02x (1.02 to 1.02) as fast as the next, varlen" in choice.reasons["layout"]
    assert choice.notes == ()


def test_points_that_run_more_text_are_compared_by_the_token() -> None:
    points = series({"unpadded": 1.0, "padded": 1.0, "varlen": 0.95}, {"varlen": 0.7})
    more = [
        Series(one.cell, one.tokens * one.cell.size, one.pairs, [seconds * one.cell.size for seconds in one.seconds])
        if one.cell.curve == CURVES[-1]
        else one
        for one in points
    ]
    for each in (chosen(points), chosen(more)):
        assert (each.values["layout"], each.values["run_pairs"], each.values["run_tokens"]) == ("varlen", 32, 8192)
        assert "x" in each.reasons["run_tokens"]
    assert chosen(points).reasons["run_tokens"] == chosen(more).reasons["run_tokens"]


def test_a_device_with_a_fixed_cost_a_run_takes_large_runs_and_waits_for_company() -> None:
    choice = chosen(series({"unpadded": 1.0, "padded": 1.0, "varlen": 0.95}, {"varlen": 0.7}), precision="fp32")
    assert choice.values["layout"] == "varlen"
    assert "vary with their company" in choice.reasons["layout"]
    assert (choice.values["run_pairs"], choice.values["run_tokens"]) == (32, 8192)
    assert choice.values["budget_tokens"] == 8192
    assert choice.values["max_wait_ms"] == 5.0


@pytest.mark.parametrize(("speed", "layout"), [(1.09, "unpadded"), (1.12, "padded")])
def test_a_layout_without_invariance_must_be_clearly_faster(speed: float, layout: str) -> None:
    found, reason = choose_layout(series({"unpadded": 1.0, "padded": 1 / speed}), "int8")
    assert found == layout
    assert f"{speed:.2f}x" in reason


@pytest.mark.parametrize(
    ("slower", "told"), [(1.3, "the least latency of a request, 1.30x"), (1.01, "no other has clearly less latency")]
)
def test_what_is_least_is_the_latency_and_only_if_clearly(slower: float, told: str) -> None:
    """Throughput may well be another layout's."""
    layout, reason = choose_layout(series({"unpadded": 1.0, "padded": slower}), "int8")
    assert layout == "unpadded"
    assert reason.startswith(told)
    assert "a score in it is the same bits in any company" in reason


def test_a_faster_layout_must_be_faster_in_most_rounds() -> None:
    points = series({"unpadded": 1.0, "padded": 0.7})
    for one in points:
        if one.cell.layout == "padded":
            one.seconds[:2] = [1.2, 1.1]
    assert choose_layout(points, "int8")[0] == "unpadded"


def test_two_rounds_change_nothing_and_are_told() -> None:
    choice = chosen(series({"unpadded": 1.0, "padded": 0.5}, noise=(1.0, 1.0)))
    assert choice.values["layout"] == "unpadded"
    assert any("--seconds" in note for note in choice.notes)


def test_noise_is_told() -> None:
    choice = chosen(series(CPU, noise=(1.0, 1.5, 1.0, 1.6)))
    assert choice.values["layout"] == "unpadded"
    assert any("busy" in note for note in choice.notes)


def test_a_size_of_equal_speed_is_the_smallest_of_them() -> None:
    points = series({"unpadded": 1.0, "padded": 0.5})
    for one in points:
        if one.cell.curve == "pairs" and one.cell.layout == "padded" and one.cell.size >= 8:
            one.seconds = [seconds * (0.7 if one.cell.size > 8 else 0.705) for seconds in one.seconds]
    choice = chosen(points)
    assert choice.values["run_pairs"] == 8
    assert choice.reasons["run_pairs"].startswith("1.42x")
    assert choice.values["run_tokens"] == default("run_tokens")


def test_a_layout_that_runs_pairs_singly_keeps_the_default_sizes() -> None:
    points = [one for one in series({"unpadded": 1.0, "padded": 1.2}) if one.cell.layout == "padded"]
    points += [Series(Cell(curve, "unpadded", SIZES[curve][0]), 1000, 32, list(NOISE)) for curve in CURVES]
    choice = chosen(points)
    assert choice.values["layout"] == "unpadded"
    for name in SETTING.values():
        assert choice.values[name] == default(name)
        assert "whatever the setting" in choice.reasons[name]


def test_a_batch_holds_the_longest_pair_of_the_model() -> None:
    choice = choose(series(CPU), [], precision="int8", max_length=8192, cores=2)
    assert choice.values["budget_tokens"] == 8192
    assert "longest pair" in choice.reasons["budget_tokens"]


def test_a_model_without_an_invariant_layout_takes_the_fastest_it_has() -> None:
    assert choose_layout(series({"varlen": 1.0, "padded": 0.8}), "int8")[0] == "padded"
    assert choose_layout(series({"packed": 1.0}), "int8") == ("packed", "the model has no other")


@pytest.mark.parametrize(("threaded", "values"), [(70.0, {"threads": 1}), (109.0, {"threads": 1})])
def test_processes_of_one_thread_stay(threaded: float, values: Mapping[str, object]) -> None:
    teams = [Team(1, 1, [60.0] * 5), Team(2, 1, [100.0] * 5), Team(1, 2, [threaded] * 5)]
    choice = chosen(series(CPU), teams)
    assert {name: choice.values[name] for name in values} == values
    assert not {"processes", "pin"} & set(choice.values)
    assert f"{threaded / 100:.2f}x" in choice.reasons["threads"]


def test_threads_that_do_more_take_the_cores_of_fewer_unpinned_processes() -> None:
    teams = [Team(1, 1, [60.0] * 5), Team(8, 1, [100.0] * 5), Team(4, 2, [150.0] * 5), Team(1, 8, [90.0] * 5)]
    choice = choose(series(CPU), teams, precision="int8", max_length=512, cores=16)
    assert {name: choice.values[name] for name in ("threads", "processes", "pin")} == {
        "threads": 2,
        "processes": 8,
        "pin": False,
    }
    # What else is written stands in a table of its own in docs/settings.md.
    assert set(choice.values) - {"processes", "pin"} == set(TunedSettings.model_fields)


@pytest.mark.parametrize(
    ("cores", "teams"),
    [
        (1, ["1 x 1"]),
        (2, ["1 x 1", "2 x 1", "1 x 2"]),
        (4, ["1 x 1", "4 x 1", "2 x 2", "1 x 4"]),
        (3, ["1 x 1", "3 x 1", "1 x 2", "1 x 3"]),
        (64, ["1 x 1", "8 x 1", "4 x 2", "1 x 8"]),
    ],
)
def test_teams_use_all_cores_that_are_measured(cores: int, teams: list[str]) -> None:
    assert [str(team) for team in teams_for(cores)] == teams


def test_a_ratio_counts_only_the_rounds_of_both() -> None:
    ratio = Ratio.of([2.0, 4.0, 9.0], [1.0, 2.0])
    assert (ratio.median, ratio.low, ratio.high, ratio.rounds) == (2.0, 2.0, 2.0, 2)
