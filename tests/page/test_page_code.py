"""The request as code: it is run here, and answers as the page does."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

from page.board import Board
from page.conftest import OpenPage
from support.http.gateway import TestGateway

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("page")]
#: What shells, Python and JSON each take for something else.
NASTY = [
    "it's a \"quoted\" text, isn't it?",
    "$HOME `id` $(id) \\n \\ %s {0} #{x}",
    "two\nlines\tand a tab, then \u2028 and \u00a0",
    "</script><b>bold</b> & 'more' '' \"\"",
    "naïve 中文 🙂 f'{os}' \"\"\" '''",
    "plain",
]
QUERY = 'who\'s quoted in "texts"? $PATH `x` \\'


@pytest.fixture
def board(shown: TestGateway, open_page: OpenPage) -> Board:
    board = open_page(shown.url)
    board.ask(QUERY, json.dumps(NASTY))
    board.option("top-n", "5")
    board.option("deadline", "20000")
    return board


def environ() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}


def run(*command: str, text: str | None = None) -> str:
    done = subprocess.run(command, env=environ(), input=text, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_curl_asks_for_the_same(board: Board) -> None:
    order = [row.index for row in board.rerank()]
    answer = json.loads(run("sh", "-c", board.code("curl")))
    assert [result["index"] for result in answer["results"]] == order
    # Equal to the byte: every score comes from the cache.
    assert answer["usage"]["pairs_run"] == 0


def test_jina_s_shape_asks_for_the_same(board: Board) -> None:
    order = [row.index for row in board.rerank()]
    answer = json.loads(run("sh", "-c", board.code("Jina")))
    assert [result["index"] for result in answer["results"]] == order


def test_tei_s_shape_asks_for_the_same(board: Board) -> None:
    order = [row.index for row in board.rerank()]
    answer = json.loads(run("sh", "-c", board.code("TEI")))
    assert [result["index"] for result in answer] == order


@pytest.mark.parametrize("name", ["Jina", "TEI"])
def test_what_a_shape_has_no_field_for_is_said(board: Board, name: str) -> None:
    assert "#" not in board.code(name).partition("curl")[0]
    board.page.select_option("#class", "bulk")
    board.option("max-length", "64")
    said, command = re.findall(r"^# .*$", board.code(name), re.MULTILINE), board.code(name)
    assert ["classes" in line and "bulk" in line for line in said] == [True, False]
    assert ["max_length" in line and "64 tokens" in line for line in said] == [False, True]
    # Shells that take comments for commands look for the end of a quotation.
    assert not any("'" in line for line in said)
    assert json.loads(run("sh", "-c", command))


def test_an_application_finds_what_it_is_told(board: Board, shown: TestGateway) -> None:
    told = board.code("Application")
    (base,) = re.findall(r"^Base URL +(\S+)$", told, re.MULTILINE)
    (whole,) = re.findall(r"whole address is asked for: (\S+)", told)
    models = re.findall(r"^Model +(\S+)|a list is offered: (\S+) or (\S+)", told, re.MULTILINE)
    assert whole == f"{base}/rerank"
    for model in filter(None, (name for names in models for name in names)):
        with shown.client() as http:
            assert http.post(whole, json={"model": model, "query": "q", "documents": ["a"]}).is_success, model
    assert "any" in told
    assert "--host 0.0.0.0" in told


@pytest.mark.parametrize("pixels", [390, 1280])
def test_no_line_is_cut(board: Board, pixels: int) -> None:
    board.page.set_viewport_size({"width": pixels, "height": 800})
    board.ask("one " * 60, ["many words " * 40] * 30)
    for name in ("curl", "Python", "Application"):
        whole = board.code(name)
        sizes = board.page.evaluate(
            "(() => { const at = document.querySelector('#code-panel'); return [at.scrollWidth, at.clientWidth]; })()"
        )
        assert sizes[0] <= sizes[1], name
        if name == "Application":
            assert board.page.locator(".fold:visible").count() == 0
            continue
        low = board.page.locator("#code-panel").bounding_box()
        folded = board.page.locator("#code-panel").inner_text().rstrip()
        button = board.page.get_by_role("button", name="Show all")
        assert "lines" in button.inner_text()
        button.click()
        high = board.page.locator("#code-panel").bounding_box()
        assert low
        assert high
        assert low["height"] < 400 < high["height"]
        # What is hidden is not laid out: that would take seconds at each keystroke.
        assert whole.startswith(folded)
        assert folded.count("\n") < 16
        assert board.page.locator("#code-panel").inner_text() == whole
        board.page.get_by_role("button", name="Show less").click()


def test_python_asks_for_the_same(board: Board) -> None:
    order = [row.index for row in board.rerank()]
    printed = run(sys.executable, "-W", "ignore", "-c", board.code("Python")).splitlines()
    assert [int(line.split()[0]) for line in printed] == order


@pytest.mark.clients
def test_the_cohere_sdk_asks_for_the_same(board: Board) -> None:
    pytest.importorskip("cohere", reason="needs Cohere's SDK: pip install cohere")
    order = [row.index for row in board.rerank()]
    printed = run(sys.executable, "-W", "ignore", "-c", board.code("Cohere SDK")).splitlines()
    assert [int(line.split()[0]) for line in printed] == order


def test_all_python_on_the_page_compiles(board: Board) -> None:
    for name in ("Python", "Cohere SDK"):
        compile(board.code(name), name, "exec")
    assert 'model="cross-encoder/ms-marco-MiniLM-L-12-v2"' in board.code("Cohere SDK")


def test_code_follows_what_is_typed(board: Board) -> None:
    board.page.fill("#query", "another question")
    assert "another question" in board.code("curl")
    board.page.uncheck("#partial")
    assert "X-Rerank-Partial: false" in board.code("curl")
    assert '"X-Rerank-Partial": "false"' in board.code("Python")
    headers = '"additional_headers": {"X-Rerank-Deadline-Ms": "20000", "X-Rerank-Partial": "false"}'
    assert headers in board.code("Cohere SDK")
    board.page.select_option("#class", "bulk")
    assert "asked as interactive, not as bulk" in board.code("Cohere SDK")
    compile(board.code("Cohere SDK"), "Cohere SDK", "exec")


def test_code_waits_as_long_as_the_answer_may_take(board: Board) -> None:
    assert "timeout=25," in board.code("Python")
    assert '"timeout_in_seconds": 25' in board.code("Cohere SDK")
    # The deadline is then the operator's or the key's, for bulk an hour and more.
    board.option("deadline", "")
    assert "timeout=None," in board.code("Python")
    assert "request_options" not in board.code("Cohere SDK")


def test_code_names_a_model_that_is_served(board: Board, shown: TestGateway) -> None:
    """Also where the page does not know the fleet's yet."""
    options = {"origin": shown.url, "keyed": False, "partial": True, "model": None}
    found = board.call("snippets.js", "snippets", {"query": "q", "documents": ["a"]}, options)
    (cohere,) = [each for each in found if each["name"] == "Cohere SDK"]
    (model,) = re.findall(r'model="(.*)"', cohere["code"])
    with shown.client() as http:
        assert http.post("/v2/rerank", json={"model": model, "query": "q", "documents": ["a"]}).is_success


def test_curl_takes_more_than_fits_a_command_line(board: Board) -> None:
    documents = ["EOF", "\nEOF\n", *NASTY, *(f"text {number}: {'é' * 700}" for number in range(100))]
    board.ask(QUERY, json.dumps(documents))
    code = board.code("curl")
    assert len(code.encode()) > 131_072
    answer = json.loads(run("sh", "-c", ". /dev/stdin", text=code))
    rows = board.rerank()
    assert [result["index"] for result in answer["results"]] == [row.index for row in rows]
    assert board.page.locator(".cached").count() == 5


def test_copy_copies_what_is_shown(shown: TestGateway, open_page: OpenPage) -> None:
    board = open_page(shown.url, permissions=["clipboard-read", "clipboard-write"])
    # It says so for a moment only.
    board.page.evaluate(
        """() => {
          const button = document.querySelector(".copy");
          window.said = [];
          new MutationObserver(() => window.said.push(button.textContent)).observe(button, { childList: true });
        }"""
    )
    for number, name in enumerate(("curl", "Python", "Cohere SDK"), 1):
        code = board.code(name)
        board.page.get_by_role("button", name="Copy").click()
        board.until(f"window.said.length === {2 * number}")
        assert board.page.evaluate("navigator.clipboard.readText()") == code
    assert board.page.evaluate("window.said") == ["Copied", "Copy"] * 3


def test_copy_works_where_a_browser_has_no_clipboard(shown: TestGateway, open_page: OpenPage) -> None:
    """As over plain HTTP from another machine."""
    board = open_page(shown.url, opened=False)
    board.page.add_init_script("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    board.open(shown.url)
    board.page.evaluate("document.addEventListener('copy', () => { window.copied = String(getSelection()); })")
    board.ask("q", [f"candidate {number}" for number in range(40)])
    code = board.code("curl")
    assert "candidate 39" in code
    board.page.get_by_role("button", name="Copy").click()
    board.until("window.copied !== undefined")
    assert board.page.evaluate("window.copied") == code


def test_the_answer_can_be_read_as_json(board: Board) -> None:
    rows = board.rerank()
    answer = json.loads(board.code("Answer"))
    assert [result["index"] for result in answer["results"]] == [row.index for row in rows]


@pytest.fixture
def scored(board: Board) -> Board:
    """The board with first-stage scores, one of which is missing, and a weight that lets them decide."""
    documents = [{"text": text, "score": float(place)} for place, text in enumerate(NASTY[:-1])]
    board.ask(QUERY, json.dumps([*documents, NASTY[-1]]))
    board.option("fusion-weight", "3")
    board.page.select_option("#fusion", "zscore")
    return board


@pytest.mark.parametrize("name", ["curl", "Jina", "TEI"])
def test_commands_ask_for_the_same_fusion(scored: Board, name: str) -> None:
    order = [row.index for row in scored.rerank()]
    answer = json.loads(run("sh", "-c", scored.code(name)))
    results = answer if isinstance(answer, list) else answer["results"]
    assert [result["index"] for result in results] == order
    # It is not the model's order.
    scored.page.locator("#weight").press("Home")
    assert [row.index for row in scored.rows()] != order


def test_python_asks_for_the_same_fusion(scored: Board) -> None:
    rows = scored.rerank()
    printed = run(sys.executable, "-W", "ignore", "-c", scored.code("Python")).splitlines()
    assert [int(line.split()[0]) for line in printed] == [row.index for row in rows]
    shown = scored.page.eval_on_selector_all("ol.after dl > :last-child dd", "all => all.map(each => each.title)")
    assert [float(line.split()[1]) for line in printed] == pytest.approx([float(score) for score in shown])


@pytest.mark.clients
def test_the_cohere_sdk_asks_for_the_same_fusion(scored: Board) -> None:
    pytest.importorskip("cohere", reason="needs Cohere's SDK: pip install cohere")
    order = [row.index for row in scored.rerank()]
    printed = run(sys.executable, "-W", "ignore", "-c", scored.code("Cohere SDK")).splitlines()
    assert [int(line.split()[0]) for line in printed] == order


def test_code_names_fusion_only_where_it_is_chosen(scored: Board) -> None:
    for name in ("curl", "Python", "Cohere SDK", "Jina", "TEI"):
        code = scored.code(name)
        assert '"fusion": "zscore"' in code, name
        assert '"fusion_weight": 3' in code, name
    assert '"scores": [0, 1, 2, 3, 4, None]' in scored.code("Cohere SDK")
    for name in ("Python", "Cohere SDK"):
        compile(scored.code(name), name, "exec")
    scored.page.select_option("#fusion", "")
    scored.option("fusion-weight", "")
    for name in ("curl", "Python", "Cohere SDK", "Jina", "TEI"):
        assert "fusion" not in scored.code(name), name
