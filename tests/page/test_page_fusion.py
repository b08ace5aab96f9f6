"""Fused answers on the page: where first-stage scores come from, three scores a row, and a slider that asks nothing."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx
import pytest

from page.board import Board
from page.conftest import OpenPage
from support.http.gateway import TestGateway

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("page")]
QUERY = "What is the capital of the United States?"
#: The first stage's order is not the model's.
SCORED = [
    ("Capital punishment has existed in the United States since before it was a country.", 9.5),
    ("The United States has states, and each has a capital of its own.", 8.0),
    ("Carson City is the capital city of the American state of Nevada.", 6.5),
    ("Washington, D.C. is the capital of the United States.", 6.0),
    ("Cats sleep for most of the day.", 0.5),
]
LINES = "\n".join(f"{text}\t{score}" for text, score in SCORED)
DOCUMENTS = [{"text": text, "score": score} for text, score in SCORED]


@pytest.fixture
def board(shown: TestGateway, open_page: OpenPage) -> Board:
    board = open_page(shown.url)
    board.ask(QUERY, LINES)
    return board


def choose(board: Board, method: str) -> None:
    board.page.evaluate("document.querySelector('.options').open = true")
    board.page.select_option("#fusion", method)


def fused(board: Board, method: str = "zscore") -> list[int]:
    """Ask for a fused answer; return its order."""
    choose(board, method)
    return [row.index for row in board.rerank()]


def slide(board: Board, to: str | int) -> list[int]:
    """Press a key on the slider, or put it on one of its steps; return the order that is then shown."""
    board.page.focus("#weight")
    if isinstance(to, str):
        board.page.keyboard.press(to)
    else:
        board.page.fill("#weight", str(to))
    return [row.index for row in board.rows()]


def answer(shown: TestGateway, **fields: Any) -> dict[str, Any]:
    body = {"query": QUERY, "documents": DOCUMENTS, **fields}
    found = httpx.post(f"{shown.url}/v1/fleet/rerank", json=body, trust_env=False)
    assert found.is_success, found.text
    value: dict[str, Any] = found.json()
    return value


def order(response: dict[str, Any]) -> list[int]:
    return [result["index"] for result in response["results"]]


def test_a_row_shows_what_the_model_the_first_stage_and_both_say(board: Board, shown: TestGateway) -> None:
    assert "5 candidates, with scores" in board.page.locator("#kind").inner_text()
    expected = answer(shown, fusion="zscore")
    assert fused(board) == order(expected)
    for result in expected["results"]:
        row = board.page.locator(f"ol.after li[data-index='{result['index']}']")
        names = ("relevance_score", "first_stage_score", "fused_score")
        values = [row.locator("dd").nth(at).get_attribute("title") for at in range(3)]
        assert [float(value or "nan") for value in values] == pytest.approx([result[name] for name in names], rel=1e-6)
        assert row.locator("dt").all_inner_texts() == ["model", "first stage", "fused"]
    assert board.page.locator(".columns").inner_text().split("\n") == ["model", "first stage", "fused"]
    assert "by fused score" in board.page.locator(".heading.after").inner_text()
    ratio = float(f"{expected['fusion']['ratio']:.4g}")
    assert f"Method: zscore. Ratio {ratio:g}" in board.page.locator("#method").inner_text()


def test_without_a_method_nothing_is_fused(board: Board) -> None:
    board.rerank()
    assert board.page.locator("#weight").count() == 0
    fused(board, "none")
    assert board.page.locator("#weight").count() == 0
    assert board.page.locator("ol.after dd").count() == 0


@pytest.mark.parametrize("method", ["zscore", "weighted", "rrf"])
def test_the_slider_orders_without_another_request(board: Board, shown: TestGateway, method: str) -> None:
    fused(board, method)
    sent: list[str] = []
    board.page.on("request", lambda request: sent.append(f"{request.method} {request.url}"))
    model = order(answer(shown, fusion="none"))
    first = list(range(len(SCORED)))
    assert model != first
    assert slide(board, "Home") == model
    assert slide(board, "End") == first
    ratio = {"fusion_ratio": 1.5} if method == "weighted" else {}
    if ratio:
        board.option("fusion-ratio", "1.5")
        board.rerank()
    sent.clear()
    for steps in (7, 20, 47, 80):
        theirs = answer(shown, fusion=method, fusion_weight=steps / 20, **ratio)
        assert slide(board, steps) == order(theirs), steps
        titles = "all => all.map(each => Number(each.title))"
        scores = board.page.eval_on_selector_all("ol.after dl > :last-child dd", titles)
        assert scores == pytest.approx([result["fused_score"] for result in theirs["results"]], rel=1e-6)
    assert [each for each in sent if "rerank" in each] == []
    assert board.page.locator("#ranking.stale").count() == 0


def test_distances_are_better_when_they_are_smaller(board: Board, shown: TestGateway) -> None:
    board.page.evaluate("document.querySelector('.options').open = true")
    board.page.check("#ascending")
    assert fused(board) == order(answer(shown, fusion="zscore", first_stage_order="ascending"))
    assert slide(board, "End") == list(range(len(SCORED)))[::-1]


def test_candidates_without_a_score_count_as_the_worst(board: Board) -> None:
    board.paste("#candidates", LINES.replace("\t9.5", "\t-"))
    assert "4 with scores" in board.page.locator("#kind").inner_text()
    fused(board)
    assert slide(board, "End")[0] == 1
    assert slide(board, "End").index(0) >= 3
    row = board.page.locator("ol.after li[data-index='0']")
    assert row.locator("dd").nth(1).inner_text() == "–"


def test_ranks_need_no_scores(board: Board) -> None:
    board.paste("#candidates", "\n".join(text for text, _ in SCORED))
    fused(board, "rrf")
    assert slide(board, "End") == list(range(len(SCORED)))
    assert board.page.locator("ol.after li[data-index='3'] dd").nth(1).inner_text() == "#4"


def test_a_method_that_lacks_its_scores_is_told_before_it_is_asked(board: Board) -> None:
    board.paste("#candidates", "\n".join(text for text, _ in SCORED))
    choose(board, "zscore")
    board.page.click("#run")
    assert "zscore needs first-stage scores" in board.page.locator("#kind").inner_text()
    assert board.focused() == "candidates"
    board.page.select_option("#fusion", "")
    assert board.page.locator("#kind.wrong").count() == 0


def test_the_best_n_are_those_of_the_weight(board: Board, shown: TestGateway) -> None:
    board.option("top-n", "2")
    choose(board, "zscore")
    assert len(board.rerank()) == 2
    assert slide(board, "Home") == order(answer(shown, fusion="none", top_n=2))
    assert slide(board, "End") == [0, 1]
    gone = board.page.eval_on_selector_all("ol.before .gone", "all => all.map(each => Number(each.dataset.index))")
    assert gone == [2, 3, 4]


def test_what_moved_is_said_and_the_slider_has_words(board: Board) -> None:
    before = fused(board)
    slider = board.page.get_by_role("slider", name="Weight of the first stage")
    assert slider.get_attribute("aria-valuetext") == "weight 1"
    after = slide(board, "End")
    moved = sum(x != y for x, y in zip(before, after, strict=True))
    assert slider.get_attribute("aria-valuetext") == "first stage only"
    board.until("document.querySelector('#said').textContent.startsWith('First stage only')")
    said = board.page.locator("#said").inner_text()
    assert said == f"First stage only: {moved} candidates moved. First is candidate {after[0] + 1}."
    slide(board, "Home")
    board.until("document.querySelector('#said').textContent.startsWith('Model only')")
    board.page.keyboard.press("ArrowRight")
    board.until("document.querySelector('#said').textContent.startsWith('Weight 0.05')")
    assert "nothing moved" in board.page.locator("#said").inner_text()
    label = board.page.locator("ol.after button.rank").first.get_attribute("aria-label")
    assert label
    assert re.match(r"1, (up \d+|as before), was \d: ", label)


def test_what_is_open_stays_open_and_one_row_can_be_reached(board: Board) -> None:
    first, *_ = fused(board)
    board.page.locator("ol.after li .text").first.click()
    slide(board, "End")
    slide(board, "Home")
    opened = board.page.locator("ol.after li.open")
    assert opened.count() == 1
    assert opened.get_attribute("data-index") == str(first)
    assert board.page.locator("ol.after button.rank[tabindex='0']").count() == 1


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_rows_glide_unless_no_motion_is_wanted(shown: TestGateway, open_page: OpenPage, motion: Any) -> None:
    board = open_page(shown.url, reduced_motion=motion)
    board.ask(QUERY, LINES)
    fused(board)
    script = """() => {
      const slider = document.querySelector("#weight");
      slider.value = slider.max;
      slider.dispatchEvent(new Event("input", { bubbles: true }));
      return document.getAnimations().filter((each) => each.id === "glide").length;
    }"""
    assert (board.page.evaluate(script) > 0) == (motion == "no-preference")


def test_the_lines_follow_the_rows(board: Board) -> None:
    fused(board)
    slide(board, "End")
    ends = "paths => paths.map(path => path.getAttribute('d').match(/[\\d.]+/g).map(Number)).map(n => n.at(-1) - n[1])"
    assert board.page.eval_on_selector_all(".lines path", ends) == pytest.approx([0] * len(SCORED), abs=1)


def test_the_slider_s_weight_is_the_next_request_s(board: Board, shown: TestGateway) -> None:
    fused(board)
    slide(board, 46)
    assert board.page.input_value("#fusion-weight") == "2.3"
    assert '"fusion_weight": 2.3' in board.code("curl")
    rows = [row.index for row in board.rerank()]
    assert rows == order(answer(shown, fusion="zscore", fusion_weight=2.3))
    assert board.page.get_by_role("slider").get_attribute("aria-valuetext") == "weight 2.3"
    # And a weight that is typed moves the slider.
    board.option("fusion-weight", "0")
    assert [row.index for row in board.rows()] == order(answer(shown, fusion="none"))
    assert board.page.get_by_role("slider").get_attribute("aria-valuetext") == "model only"
    assert board.page.get_by_role("tab", name="Answer").count() == 0
    board.option("fusion-weight", "2.3")
    assert board.page.get_by_role("tab", name="Answer").count() == 1
    board.page.select_option("#fusion", "rrf")
    assert board.page.locator("#ranking.stale").count() == 1


def test_what_stands_in_for_a_ratio_is_told(board: Board) -> None:
    board.option("first-stage", "page-test")
    fused(board, "weighted")
    told = board.page.locator("#method").inner_text()
    assert "z-scores stand in until 30 requests of “page-test” have taught the ratio; 0 have so far" in told
    board.option("fusion-ratio", "0.5")
    board.rerank()
    assert "Ratio 0.5, as asked" in board.page.locator("#method").inner_text()


def test_a_pasted_body_brings_its_fusion(board: Board, shown: TestGateway) -> None:
    texts, scores = [text for text, _ in SCORED], [-score for _, score in SCORED]
    fusion = {"fusion": "weighted", "fusion_weight": 0.5, "fusion_ratio": 2, "first_stage_order": "ascending"}
    body = {"query": QUERY, "documents": texts, "scores": scores, **fusion}
    board.paste("#candidates", json.dumps(body))
    assert "query and fusion are taken from it" in board.page.locator("#kind").inner_text()
    assert [row.index for row in board.rerank()] == order(answer(shown, documents=texts, scores=scores, **fusion))
    assert "Ratio 2, as asked" in board.page.locator("#method").inner_text()
    board.paste("#candidates", json.dumps(body | {"scores": [1.0]}))
    assert "1 scores for 5 candidates" in board.page.locator("#kind.wrong").inner_text()
