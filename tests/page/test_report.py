"""A report in a real browser: it asks nobody, says nothing on the console, fits a phone, and can be read."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from page.conftest import OpenPage
from rerank_ops.report.evaluation_page import evaluation_page
from rerank_ops.report.render import write_page
from support.reports import evidence

pytestmark = pytest.mark.xdist_group("page")
_CONTRAST = Path(__file__).with_name("contrast.js").read_text()
_LONG = "Donaudampfschifffahrtsgesellschaft" * 12
DOCUMENTS = {
    "d1": "potato soup",
    "d2": f"potato <script>document.title = 'taken'</script> {_LONG}",
    "d3": "potato שלום עולם " * 40,
    "d4": "potato 検索結果を並べ替える" * 800,
    f"d5-{_LONG}": "potato and berlin",
}
QUERIES = {"q1": f"potato {_LONG}", "q2": "soup", "q3": "potato שלום", "q4": "berlin " * 1_500}
QRELS = {"q1": {"d4": 2, "d1": 0}, "q2": {"d1": 1}, "q3": {"d3": 1}, "q4": {f"d5-{_LONG}": 1}}


@pytest.fixture
def report(tmp_path: Path) -> str:
    """The address of a report of texts that are hard to show."""
    logits: dict[str, Sequence[float]] = {query: range(10) for query in QUERIES}
    alike: dict[str, Sequence[float]] = {query: [0.0] * 10 for query in QUERIES}
    models = {"a-model": logits, f"another-model-{_LONG[:60]}": alike}
    write_page(tmp_path / "report.html", evaluation_page(evidence(tmp_path, DOCUMENTS, QUERIES, QRELS, models=models)))
    return (tmp_path / "report.html").as_uri()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("pixels", [320, 360, 768, 1280])
def test_it_fits_and_can_be_read(report: str, open_page: OpenPage, pixels: int, scheme: Any) -> None:
    phone = {"is_mobile": True, "has_touch": True} if pixels < 500 else {}
    page = open_page(report, opened=False, color_scheme=scheme, viewport={"width": pixels, "height": 780}, **phone).page
    page.goto(report)
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    assert page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]") == [pixels] * 2
    lowest, where = page.evaluate(_CONTRAST)
    assert lowest >= 4.5, where
    # Texts of a chart have the colours of the page, on its background.
    fills = "[...document.querySelectorAll('.chart text')].map(each => getComputedStyle(each).fill)"
    assert page.evaluate(fills)
    assert page.title() == "Evaluation of tiny · Rerank Fleet"


def test_it_works_without_script(report: str, open_page: OpenPage) -> None:
    page = open_page(report, opened=False, java_script_enabled=False).page
    page.goto(report)
    assert page.locator(".verdict .headline").inner_text()
    first, opened = page.locator("details summary").first, page.locator("details[open]")
    before = opened.count()
    assert before
    first.click()
    assert opened.count() == before - 1
    first.click()
    assert opened.count() == before


def test_on_paper_it_is_white_and_unfolded(report: str, open_page: OpenPage) -> None:
    page = open_page(report, opened=False, color_scheme="dark", viewport={"width": 690, "height": 900}).page
    page.goto(report)
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = false; })")
    shown = page.eval_on_selector_all(".orders", "all => all.map(each => each.getBoundingClientRect().height)")
    assert shown
    assert min(shown) > 0
    assert page.evaluate("document.documentElement.scrollWidth") == 690


def test_everything_has_a_name(report: str, open_page: OpenPage) -> None:
    page = open_page(report, opened=False).page
    page.goto(report)
    tree = page.locator("body").aria_snapshot()
    assert 'heading "Evaluation of tiny" [level=1]' in tree
    assert 'img "nDCG@10 against the time of a query' in tree
    assert 'table "What each system is worth, and what it costs"' in tree
    levels = page.eval_on_selector_all("h1, h2, h3, h4", "all => all.map(each => Number(each.tagName[1]))")
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
