"""The page on small screens, in the dark, by keyboard, and for those whom motion makes ill."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from conftest import StartGateway
from page.board import Board
from page.conftest import OpenPage
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import connect
from rerank_shared.settings import Settings
from support.http.gateway import TestGateway
from support.jobs import passages
from support.pools import IDENTITY, announce

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("page")]
LONG_WORD = "Donaudampfschifffahrtsgesellschaft" * 12

_CONTRAST = Path(__file__).with_name("contrast.js").read_text()


def width(board: Board) -> tuple[int, int]:
    found: list[int] = board.page.evaluate(
        "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    return found[0], found[1]


@pytest.mark.parametrize("pixels", [320, 360, 414, 768, 1024, 1180, 1440])
def test_no_width_needs_sideways_scrolling(shown: TestGateway, open_page: OpenPage, pixels: int) -> None:
    phone = {"is_mobile": True, "has_touch": True} if pixels < 500 else {}
    board = open_page(shown.url, viewport={"width": pixels, "height": 780}, **phone)
    assert width(board) == (pixels, pixels)
    board.ask(LONG_WORD[:200], [LONG_WORD, "https://example.org/" + "a" * 300, *passages(4)])
    assert len(board.rerank()) == 6
    assert width(board) == (pixels, pixels)
    board.page.locator("ol.after li .text").first.click()
    board.page.evaluate("document.querySelector('.options').open = true")
    assert width(board) == (pixels, pixels)
    board.page.select_option("#example", label="BM25 scores: fusion helps")
    board.rerank()
    board.page.locator("#weight").press("End")
    assert width(board) == (pixels, pixels)


@pytest.mark.parametrize("pixels", [320, 390, 1280])
def test_no_word_of_a_head_is_broken(shown: TestGateway, open_page: OpenPage, pixels: int) -> None:
    board = open_page(shown.url, viewport={"width": pixels, "height": 780})
    board.page.wait_for_selector("#pulse[data-state=ok]")
    board.rerank()
    board.page.wait_for_selector("table.latency tbody tr")
    script = """heads => heads.flatMap(head => [...head.childNodes].filter(node => node.nodeType === 3).flatMap(node =>
        [...node.data.matchAll(/\\S+/g)].filter(({ 0: word, index }) => {
          const range = document.createRange();
          range.setStart(node, index);
          range.setEnd(node, index + word.length);
          return range.getClientRects().length > 1;
        }).map(({ 0: word }) => word)))"""
    assert board.page.eval_on_selector_all("th, .heading b, .name, h2, h3", script) == []


@pytest.mark.parametrize("pixels", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pools_fit_and_can_be_read(
    settings: Settings, start_gateway: StartGateway, open_page: OpenPage, scheme: Any, pixels: int
) -> None:
    keys, soon = Keys(settings.namespace), time.time() + 3600
    with connect(settings) as client:
        for digest in ("dd", "ee"):
            identity = replace(IDENTITY, model="cross-encoder/ms-marco-MiniLM-L-12-v2", model_digest=digest)
            announce(client, keys, identity, f"w-{digest}", now=soon)
    board = open_page(start_gateway().url, color_scheme=scheme, viewport={"width": pixels, "height": 800})
    board.page.wait_for_selector("table.pools tbody tr")
    assert width(board) == (pixels, pixels)
    spare = "(table) => table.parentElement.clientWidth - table.scrollWidth"
    assert board.page.eval_on_selector("table.pools", spare) >= 0
    lowest, where = board.page.evaluate(_CONTRAST)
    assert lowest >= 4.5, where


def test_the_form_is_as_high_as_what_stands_beside_it(shown: TestGateway, open_page: OpenPage) -> None:
    """As far as both can be seen at once."""
    board = open_page(shown.url, viewport={"width": 1280, "height": 800})
    board.rerank()
    board.page.evaluate("scrollTo(0, 0)")
    low = board.page.evaluate("document.querySelector('#run').getBoundingClientRect().bottom")
    assert 700 < low <= 800


@pytest.mark.parametrize("pixels", [360, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read(shown: TestGateway, open_page: OpenPage, scheme: Any, pixels: int) -> None:
    board = open_page(shown.url, color_scheme=scheme, viewport={"width": pixels, "height": 800})
    board.ask("which rooms?", [*passages(4), passages(1, words=900)[0]])
    board.rerank()
    lowest, where = board.page.evaluate(_CONTRAST)
    assert lowest >= 4.5, where
    board.page.evaluate("document.querySelector('.options').open = true")
    board.page.select_option("#example", label="BM25 scores: fusion helps")
    board.rerank()
    board.page.locator("#weight").press("End")
    lowest, where = board.page.evaluate(_CONTRAST)
    assert lowest >= 4.5, where


def test_light_and_dark_follow_the_system_unless_told(shown: TestGateway, open_page: OpenPage) -> None:
    board = open_page(shown.url, color_scheme="dark")
    page = board.page

    def brightness() -> int:
        color = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(map(int, re.findall(r"\d+", color)[:3]))

    assert brightness() < 150
    page.click("#theme-button")
    assert brightness() > 600
    page.reload()
    assert brightness() > 600
    page.emulate_media(color_scheme="light")
    page.click("#theme-button")
    assert brightness() < 150
    page.click("#theme-button")
    assert brightness() > 600


def test_all_of_it_works_by_keyboard(shown: TestGateway, open_page: OpenPage) -> None:
    board = open_page(shown.url)
    page = board.page
    order = []
    for _ in range(7):
        page.keyboard.press("Tab")
        order.append(
            page.evaluate(
                "document.activeElement.id || document.activeElement.className || document.activeElement.tagName"
            )
        )
    assert order == ["skip", "theme-button", "query", "candidates", "SUMMARY", "run", "example"]
    page.locator("#candidates").focus()
    page.keyboard.press("Control+Enter")
    assert len(board.answered()) == 10
    # One stop for all rows, then arrows.
    page.locator("#example").focus()
    page.keyboard.press("Tab")
    assert board.focused() == "1"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert board.focused() == "3"
    for key, opened in [("Enter", "true"), ("Space", "false"), ("Enter", "true")]:
        page.keyboard.press(key)
        assert page.evaluate("document.activeElement.ariaExpanded") == opened
        assert page.locator("ol.after li.open").count() == (opened == "true")
    page.keyboard.press("End")
    assert board.focused() == "10"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "curl"
    page.keyboard.press("ArrowRight")
    assert page.evaluate("[document.activeElement.textContent, document.activeElement.ariaSelected]") == [
        "Python",
        "true",
    ]
    assert "import httpx" in page.locator("#code-panel").inner_text()


def test_enter_in_the_query_runs_it(shown: TestGateway, open_page: OpenPage) -> None:
    board = open_page(shown.url)
    board.page.focus("#query")
    board.page.keyboard.press("Shift+Enter")
    assert board.page.locator(".summary").count() == 0
    board.page.keyboard.press("Enter")
    assert len(board.answered()) == 10


def test_focus_is_always_seen(shown: TestGateway, open_page: OpenPage) -> None:
    board = open_page(shown.url)
    board.rerank()
    board.page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    seen = set()
    for _ in range(16):
        board.page.keyboard.press("Tab")
        found = board.page.evaluate(
            "(() => { const s = getComputedStyle(document.activeElement);"
            " return [document.activeElement.tagName, s.outlineStyle, parseFloat(s.outlineWidth)]; })()"
        )
        if found[0] != "BODY":
            seen.add(found[0])
            assert found[1] != "none", found
            assert found[2] >= 2, found
    assert {"TEXTAREA", "BUTTON", "SELECT", "SUMMARY"} <= seen


def test_no_motion_for_those_who_want_none(shown: TestGateway, open_page: OpenPage) -> None:
    board = open_page(shown.url, reduced_motion="reduce")
    board.rerank()
    assert board.page.evaluate("document.getAnimations().length") == 0


def test_the_result_is_said_and_everything_has_a_name(shown: TestGateway, open_page: OpenPage) -> None:
    board = open_page(shown.url)
    board.rerank()
    said = board.page.locator("#said").inner_text()
    assert said.startswith("10 candidates reranked in ")
    assert "from place 6: git reset" in said
    tree = board.page.locator("body").aria_snapshot()
    assert re.search(r'button "1, up 5, was 6: git reset', tree), tree
    board.page.select_option("#example", label="BM25 scores: fusion helps")
    board.rerank()
    tree = board.page.locator("body").aria_snapshot()
    assert 'slider "Weight of the first stage"' in tree, tree
    assert not re.search(r"^\s*- (button|textbox|combobox|checkbox|spinbutton|slider)\s*:?$", tree, re.MULTILINE), tree


def test_touch_targets_are_large_enough(shown: TestGateway, open_page: OpenPage) -> None:
    board = open_page(shown.url, viewport={"width": 360, "height": 780}, is_mobile=True, has_touch=True)
    board.page.select_option("#example", label="BM25 scores: fusion helps")
    board.rerank()
    script = """all => all.filter(each => each.checkVisibility())
                          .map(each => [each.id || each.textContent, each.getBoundingClientRect().height])"""
    for name, height in board.page.eval_on_selector_all("button, select, summary, [type=range]", script):
        assert height >= 24, name
