"""The playground: a request from what is typed, its answer as it is, and nothing that a document says is obeyed."""

from __future__ import annotations

import json
import math

import httpx
import pytest

from page.board import Board
from page.conftest import OpenPage
from support.http.gateway import TestGateway
from support.jobs import BERLIN_DOCUMENTS, BERLIN_QUERY, passages

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("page")]


@pytest.fixture
def board(shown: TestGateway, open_page: OpenPage) -> Board:
    return open_page(shown.url)


def test_the_example_is_there_at_first_and_reranks(board: Board) -> None:
    shown = board.page.locator("ol.before li")
    given = [shown.nth(at).inner_text() for at in range(shown.count())]
    assert len(given) >= 8
    rows = board.rerank()
    assert sorted(row.index for row in rows) == list(range(len(given)))
    assert [row.rank for row in rows] == [str(at + 1) for at in range(len(rows))]
    assert "git reset --soft" in rows[0].text
    assert "10 candidates" in board.page.locator(".facts").inner_text()


def test_arrows_tell_how_far_each_one_moved(board: Board) -> None:
    rows = board.rerank()
    assert any(row.move.startswith("▲") for row in rows)
    assert any(row.move.startswith("▼") for row in rows)
    for place, row in enumerate(rows):
        moved = row.index - place
        assert row.move == ("=" if moved == 0 else f"{'▲' if moved > 0 else '▼'} {abs(moved)}")


def test_scores_and_bars_are_those_of_the_api(board: Board, shown: TestGateway) -> None:
    board.ask(BERLIN_QUERY, BERLIN_DOCUMENTS[::-1])
    rows = board.rerank()
    body = {"query": BERLIN_QUERY, "documents": BERLIN_DOCUMENTS[::-1]}
    results = httpx.post(f"{shown.url}/v1/fleet/rerank", json=body, trust_env=False).json()["results"]
    assert [row.index for row in rows] == [result["index"] for result in results] == [1, 0]
    for row, result in zip(rows, results, strict=True):
        # A tenth of the bar for ten times the odds, which a logit is the logarithm of.
        assert row.share == pytest.approx(0.5 + result["logit"] / math.log(10) / 10, abs=2e-3)
    assert rows[0].score == f"{results[0]['relevance_score']:.4f}"
    assert rows[1].score == "<0.0001"
    lengths = board.page.eval_on_selector_all(".track i", "bars => bars.map(bar => bar.offsetWidth)")
    assert lengths[0] > 10 * lengths[1] > 0
    assert "tenth more for ten times the odds" in board.page.locator(".bars").inner_text()


def test_each_document_has_a_line_from_its_old_place_to_its_new_one(board: Board) -> None:
    board.rerank()
    script = """() => {
      const top = document.querySelector('.lines').getBoundingClientRect().top;
      const middle = (list, index) => {
        const box = document.querySelector(`ol.${list} [data-index="${index}"]`).getBoundingClientRect();
        return box.top - top + Math.min(box.height, 46) / 2;
      };
      return [...document.querySelectorAll('.lines path')].map(path => {
        const numbers = path.getAttribute('d').match(/[\\d.]+/g).map(Number);
        const index = path.dataset.index;
        return [numbers[1] - middle('before', index), numbers.at(-1) - middle('after', index)];
      });
    }"""
    offsets = board.page.evaluate(script)
    assert len(offsets) == 10
    assert all(abs(start) < 1 and abs(end) < 1 for start, end in offsets)


def test_stages_add_up_to_what_they_are_labelled_with(board: Board) -> None:
    board.rerank()
    names = board.page.eval_on_selector_all(".legend div", "all => all.map(each => each.dataset.stage)")
    pieces = board.page.eval_on_selector_all(".stages i", "all => all.map(each => each.dataset.stage)")
    assert names == pieces
    assert "cache" in names
    timings = {"total_ms": 100.0, "cache_ms": 1.0, "enqueue_ms": 4, "queue_ms": 15, "run_ms": 60.0, "batch_ms": 0}
    found = {piece["name"]: piece["ms"] for piece in board.call("stages.js", "pieces", timings)}
    assert found == {"cache": 1, "enqueue": 4, "queue": 15, "run": 60, "other": 20}
    # Stages of shards overlap, so that they may be more than the whole.
    assert "other" not in {piece["name"] for piece in board.call("stages.js", "pieces", timings | {"total_ms": 50})}
    # What the reader waited for is more than what the gateway knows of.
    waited = {piece["name"]: piece["ms"] for piece in board.call("stages.js", "pieces", timings, 130.0)}
    assert waited == found | {"way": 30}


def test_the_time_that_is_told_is_what_the_reader_waited_for(board: Board) -> None:
    script = """async () => {
      const { showSummary, said } = await import("/static/summary.js");
      const place = document.createElement("div");
      const usage = { pairs_run: 1, pairs_cached: 0, tokens: 9 };
      const timings = { total_ms: 100, run_ms: 100 };
      const answer = { results: [], complete: true, usage, workers: [], batch_pairs: [], timings };
      showSummary(place, { answer, headers: new Headers(), tookMs: 250 }, 3);
      return [place.querySelector(".took").textContent, place.querySelector(".legend").textContent,
              said({ answer, tookMs: 250 }, 3, () => "")];
    }"""
    took, legend, spoken = board.page.evaluate(script)
    assert took == "250 msfrom your click to the answer here"
    assert legend == "model100 msnetwork and browser150 ms"
    assert "in 250 ms" in spoken


def test_what_comes_from_the_cache_is_told(board: Board) -> None:
    board.ask("which rooms?", passages(3))
    board.rerank()
    assert "from the cache" not in board.page.locator(".facts").inner_text()
    board.page.click("#run")
    board.page.wait_for_selector(".cached")
    assert "3 from the cache" in board.page.locator(".facts").inner_text()
    assert board.page.locator(".cached").count() == 3


def test_a_cut_document_is_marked(board: Board) -> None:
    board.ask("which rooms?", [passages(1, words=60)[0], passages(1, words=900)[0]])
    rows = {row.index: row for row in board.rerank()}
    assert "✂ cut at 512 tokens" in rows[1].marks
    assert "cut" not in rows[0].marks
    assert "1 cut" in board.page.locator(".facts").inner_text()


def test_a_partial_answer_is_marked(board: Board, shown: TestGateway) -> None:
    known = passages(3)
    with shown.client() as http:
        http.post("/v1/fleet/rerank", json={"query": "which rooms?", "documents": known}).raise_for_status()
    # Those are in the cache. The others are 90,000 tokens, of which one core runs no quarter in that time.
    board.ask("which rooms?", [*passages(180, words=400), *known])
    board.option("deadline", "1500")
    rows = board.rerank()
    scored = [row for row in rows if row.scored]
    unscored = [row for row in rows if not row.scored]
    assert scored
    assert unscored
    assert rows[: len(scored)] == scored
    assert [row.index for row in unscored] == sorted(row.index for row in unscored)
    assert {row.score for row in unscored} == {"–"}
    assert "not scored before the deadline" in board.page.locator(".rule").inner_text()
    assert "partial:" in board.page.locator(".facts").inner_text()
    assert "Partial" in board.page.locator("#said").inner_text()


@pytest.mark.parametrize(
    "text",
    [
        "<script>document.title = 'broken'</script>",
        "<img src=x onerror=\"document.title = 'broken'\">",
        "</p></li></ol><style>body { display: none }</style>",
        "<svg/onload=alert(1)>",
        "javascript:alert(1) &lt;b&gt; &amp;",
        "[click](javascript:alert(1))",
    ],
)
def test_html_and_scripts_in_texts_stay_text(board: Board, text: str) -> None:
    board.ask(text, json.dumps([{"id": text, "text": text}, {"text": "something else", "id": "other"}]))
    rows = board.rerank()
    mine = next(row for row in rows if row.index == 0)
    assert mine.text == text
    assert text in mine.marks
    for name in ("curl", "Python", "Cohere SDK", "Jina", "TEI", "Application", "Answer"):
        board.code(name)
    assert board.page.title() == "Rerank Fleet"
    assert board.page.locator("#ranking ol :is(script, img, style, b, svg, a)").count() == 0
    assert board.page.is_visible("#run")


def test_a_row_opens_to_its_whole_text(board: Board) -> None:
    text = passages(1, words=200)[0]
    board.ask("which rooms?", [text, "short"])
    board.rerank()
    row = board.page.locator("ol.after li[data-index='0']")
    low = row.bounding_box()
    row.locator(".text").click()
    assert row.get_by_role("button", expanded=True).count() == 1
    high = row.bounding_box()
    assert low
    assert high
    assert high["height"] > 2 * low["height"]
    assert row.locator(".detail").first.is_visible()
    # It is seen beforehand that rows open.
    assert board.page.locator("ol.after .chevron:visible").count() == 2


def test_a_row_of_the_first_stage_opens_too(board: Board) -> None:
    text = passages(1, words=200)[0]
    board.ask("which rooms?", [text, "short"])
    board.rerank()
    row = board.page.locator("ol.before li[data-index='0']")
    assert row.locator(".text").inner_text() != text
    row.click()
    assert row.locator(".text").inner_text() == text
    row.click()
    assert row.locator(".text").inner_text() != text


def test_what_was_edited_since_says_so(board: Board) -> None:
    board.rerank()
    assert not board.page.locator("#ranking.stale").count()
    board.page.fill("#query", "something else")
    assert board.page.locator("#ranking.stale").count() == 1
    board.rerank()
    assert not board.page.locator("#ranking.stale").count()


def test_what_is_edited_meanwhile_makes_the_answer_stale(board: Board) -> None:
    board.page.evaluate(
        """() => {
          document.querySelector("#run").click();
          document.querySelector("#query").value = "something else";
          document.querySelector("#query").dispatchEvent(new Event("input", { bubbles: true }));
        }"""
    )
    board.answered()
    assert board.page.locator("#ranking.stale").count() == 1
    assert board.page.get_by_role("tab", name="Answer").count() == 0
    board.rerank()
    assert not board.page.locator("#ranking.stale").count()
    assert board.page.get_by_role("tab", name="Answer").count() == 1


def test_an_example_chosen_meanwhile_is_what_is_shown(board: Board) -> None:
    board.page.evaluate(
        """() => {
          document.querySelector("#run").click();
          document.querySelector("#example").value = "1";
          document.querySelector("#example").dispatchEvent(new Event("change", { bubbles: true }));
        }"""
    )
    board.page.wait_for_selector(".answer:not([aria-busy])")
    assert board.page.locator("#said").inner_text() == "Cancelled."
    shown = board.page.locator("ol.before .text").all_inner_texts()
    assert shown == board.page.input_value("#candidates").splitlines()
    assert "Vaccines" in shown[0]


def test_what_another_answered_was_not_free(board: Board) -> None:
    script = """async (upstream) => {
      const { showSummary } = await import("/static/summary.js");
      const place = document.createElement("div");
      const headers = new Headers(upstream ? { "X-Rerank-Overflow": upstream } : {});
      const usage = { pairs_run: 0, pairs_cached: 0, tokens: 0 };
      const answer = { results: [], complete: true, usage, workers: [], batch_pairs: [], timings: { total_ms: 100 } };
      showSummary(place, { answer, headers, tookMs: 101 }, 3);
      return place.querySelector(".facts").textContent;
    }"""
    assert "nothing had to be run" in board.page.evaluate(script, None)
    elsewhere = board.page.evaluate(script, "api.example.org")
    assert "nothing had to be run" not in elsewhere
    assert "answered by api.example.org" in elsewhere


def test_top_n_leaves_the_rest_out(board: Board) -> None:
    board.option("top-n", "3")
    assert len(board.rerank()) == 3
    assert board.page.locator("ol.before li.gone").count() == 7


def test_many_candidates_are_folded(board: Board) -> None:
    board.ask("x", [f"candidate {number}" for number in range(1_500)])
    assert "1,500 candidates" in board.page.locator("#kind").inner_text()
    board.until("document.querySelectorAll('ol.before li').length === 50")
    assert board.page.evaluate("document.documentElement.scrollHeight") < 5_000
    board.page.get_by_role("button", name="Show 1,450 more").click()
    assert board.page.locator("ol.before li").count() == 1_500
    board.option("top-n", "60")
    board.option("deadline", "60000")
    rows = board.rerank()
    assert len(rows) == 50
    board.page.locator("#ranking").get_by_role("button", name="Show").click()
    assert len(board.rows()) == 60
    assert board.focused() == "51"


def test_cancel_leaves_the_request_as_it_is(board: Board) -> None:
    board.ask("which rooms?", passages(600))
    board.page.click("#run")
    board.page.wait_for_selector("#cancel:visible")
    board.page.focus("#cancel")
    board.page.keyboard.press("Escape")
    board.page.wait_for_selector(".answer:not([aria-busy])")
    assert board.page.locator("#said").inner_text() == "Cancelled."
    assert board.page.locator("ol.before li").count() == 50
    assert board.page.locator(".problem").count() == 0
    assert board.focused() == "run"


def test_examples_load_and_run(board: Board) -> None:
    names = board.page.eval_on_selector_all("#example option", "all => all.map(each => each.textContent)")
    assert len(names) == 6
    board.page.select_option("#example", label=names[-1])
    rows = board.rerank()
    assert {"drain", "lease"} <= {row.marks.split("✂")[0].split(" ")[0].rstrip("0123456789") for row in rows}
    assert any("cut at" in row.marks for row in rows)
