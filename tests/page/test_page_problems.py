"""What the page tells when there is no answer: why, what to do, and that nothing typed is lost."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from conftest import StartFleet, StartGateway
from page.board import Board
from page.conftest import OpenPage
from rerank_ops.local.redis_server import EmbeddedServer
from rerank_producer.gateway.auth.keyfile import new_key
from rerank_shared.scheduling.cost import CostParameters
from rerank_shared.settings import Settings, load_settings
from support.http.gateway import TestGateway
from support.jobs import passages
from support.overload import overloaded_fleet

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("page")]


@pytest.fixture
def board(shown: TestGateway, open_page: OpenPage) -> Board:
    return open_page(shown.url, expected=("status of 4", "status of 5", "ERR_"))


def write_keys(folder: Path) -> tuple[Path, str, str]:
    """A file of two keys: one that may do all, one that has nothing to spend."""
    good, text = new_key("", "good", {}, date(2026, 1, 1))
    poor, text = new_key(text, "poor", {"tokens_per_s": 0.001, "burst_tokens": 1.0}, date(2026, 1, 1))
    file = folder / "keys.toml"
    file.write_text(text)
    file.chmod(0o600)
    return file, good, poor


def test_nothing_to_ask_is_told_where_it_is_missing_without_asking(board: Board) -> None:
    board.rerank()
    asked: list[str] = []
    board.page.on("request", lambda request: asked.append(request.url))
    board.page.fill("#query", "  ")
    board.page.click("#run")
    assert board.page.locator("#query-note.wrong").inner_text() == "the query is empty"
    assert board.focused() == "query"
    assert board.page.get_attribute("#query", "aria-invalid") == "true"
    # The answer before is still there to be read, and said to be of another request: its figures too.
    assert board.page.locator("#ranking.stale").count() == 1
    assert board.page.evaluate("getComputedStyle(document.querySelector('.summary')).opacity") == "0.5"
    board.ask("q", "")
    assert board.page.locator("#query-note").inner_text() == ""
    board.page.click("#run")
    assert "no candidates" in board.page.locator("#kind.wrong").inner_text()
    assert board.focused() == "candidates"
    board.paste("#candidates", "one")
    assert board.page.locator(".wrong").count() == 0
    assert board.page.locator(".problem").count() == 0
    assert not [url for url in asked if "rerank" in url]


def test_nothing_scored_in_time(board: Board) -> None:
    board.ask("which rooms?", passages(20))
    board.option("deadline", "1")
    board.page.evaluate("scrollTo(0, 400)")
    board.page.click("#run")
    board.outlast_503()
    told = board.problem()
    assert "504" in told
    assert "longer deadline" in told
    assert board.page.evaluate("document.querySelector('#problem').getBoundingClientRect().top >= 0")
    board.option("deadline", "20000")
    board.try_again()
    board.outlast_503()
    assert len(board.answered()) == 20
    # The button is gone, and what had the focus was it.
    assert board.focused() == "run"


def test_what_the_gateway_finds_wrong_is_told_in_its_words(board: Board) -> None:
    board.option("max-length", "3")
    board.page.click("#run")
    told = board.problem()
    assert "400" in told
    assert "max_length" in told


@pytest.fixture
def overloaded(settings: Settings, start_gateway: StartGateway) -> TestGateway:
    """The gateway of a fleet of one process that says of itself that what waits there takes most of a minute."""
    cost = CostParameters(run_s=0.0, token_s=0.005, token_longest_s=0.0)
    return start_gateway(overloaded_fleet(settings, cost, passages(20, words=400)))


@pytest.mark.faults
def test_too_busy_tells_when_to_come_back(overloaded: TestGateway, open_page: OpenPage) -> None:
    board = open_page(overloaded.url, expected=("status of 429",))
    board.ask("which rooms?", passages(5))
    board.option("deadline", "12000")
    board.page.uncheck("#partial")
    board.page.click("#run")
    board.outlast_503()
    told = board.problem()
    assert "429" in told
    assert "Too busy for this deadline" in told
    assert "Try again in " in told
    assert board.page.locator("ol.before li").count() == 5
    # Whoever hears the page is told once, not at each second of the countdown.
    board.page.evaluate(
        """() => {
          window.alerts = window.counts = 0;
          const all = { subtree: true, childList: true, characterData: true, attributes: true };
          const watch = (selector, told) => new MutationObserver(told).observe(document.querySelector(selector), all);
          watch("#problem [role=alert]", () => { window.alerts += 1; });
          watch("#problem > button", () => { window.counts += 1; });
        }"""
    )
    board.until("window.counts > 1")
    assert board.page.evaluate("window.alerts") == 0
    assert "Too busy" in board.page.get_by_role("alert").inner_text()


@pytest.mark.parametrize("body", ["<!doctype html><title>Log in</title>", "{}"])
def test_what_answers_in_the_gateway_s_place_is_told_as_such(board: Board, body: str) -> None:
    """Such as a proxy's page of its own, with status 200."""
    board.page.route("**/v1/fleet/rerank", lambda route: route.fulfill(status=200, body=body))
    board.page.click("#run")
    told = board.problem()
    assert "The answer can’t be read" in told
    assert "reached" not in told
    assert "online" not in told


@pytest.mark.faults
def test_a_gateway_that_is_gone(start_gateway: StartGateway, open_page: OpenPage) -> None:
    gateway = start_gateway()
    board = open_page(gateway.url, expected=("ERR_",))
    gateway.stop()
    board.page.wait_for_selector("#pulse[data-state=lost]")
    assert board.page.locator("#pulse").inner_text() == "gateway unreachable"
    query = board.page.input_value("#query")
    board.page.click("#run")
    assert "can’t be reached" in board.problem()
    assert board.page.input_value("#query") == query


@pytest.mark.faults
def test_a_redis_that_is_gone_and_comes_back(start_gateway: StartGateway, open_page: OpenPage) -> None:
    with EmbeddedServer.start() as own:
        gateway = start_gateway(load_settings(redis_url=own.url, namespace="page"))
        board = open_page(gateway.url, expected=("status of 503",))
        own.kill()
        board.page.wait_for_selector("#pulse[data-state=lost]")
        assert board.page.locator("#pulse").inner_text() == "Redis unreachable"
        board.page.click("#run")
        assert "503" in board.problem()
        own.restart()
        board.page.wait_for_selector("#pulse[data-state=none]")


def test_no_workers_alive(start_gateway: StartGateway, open_page: OpenPage) -> None:
    board = open_page(start_gateway().url, expected=("status of 503",))
    board.page.wait_for_selector("#pulse[data-state=none]")
    assert "No workers alive" in board.page.locator(".notice").inner_text()
    assert board.figure("Workers") == "0"
    board.option("deadline", "300")
    board.page.click("#run")
    told = board.problem()
    assert "503" in told
    assert "No worker serves this model" in told


class TestKeys:
    @pytest.fixture
    def keys(self, tmp_path: Path) -> tuple[Path, str, str]:
        return write_keys(tmp_path)

    @pytest.fixture
    def guarded(
        self, shown: TestGateway, start_gateway: StartGateway, start_fleet: StartFleet, keys: tuple[Path, str, str]
    ) -> TestGateway:
        start_fleet()
        return start_gateway(keys=keys[0]).wait_ready()

    def test_a_key_is_asked_for_and_kept_for_this_tab_alone(
        self, guarded: TestGateway, open_page: OpenPage, keys: tuple[Path, str, str]
    ) -> None:
        _, good, _ = keys
        board = open_page(guarded.url, expected=("status of 401",))
        page = board.page
        assert page.locator("#pulse").inner_text() == "API key needed"
        # Nobody has asked for anything: the page can be looked at first.
        assert page.locator("#key-dialog[open]").count() == 0
        page.get_by_role("button", name="Enter a key").click()
        assert page.evaluate("document.activeElement.id") == "key-input"
        page.keyboard.type(good)
        page.keyboard.press("Enter")
        page.wait_for_selector("#pulse[data-state=ok]")
        assert len(board.rerank()) == 10
        kept = page.evaluate("[sessionStorage.getItem('rerank-key'), localStorage.length, document.cookie]")
        assert kept == [good, 0, ""]
        # Nor is it on the page, or in the code to copy.
        for name in ("curl", "Python", "Cohere SDK", "Jina", "TEI"):
            assert "RERANK_API_KEY" in board.code(name)
        assert "rrf_…" in board.code("Application")
        assert good not in page.content()
        page.reload()
        page.wait_for_selector("#pulse[data-state=ok]")

    def test_a_wrong_key_is_asked_for_again_and_the_request_then_sent(
        self, guarded: TestGateway, open_page: OpenPage, keys: tuple[Path, str, str]
    ) -> None:
        board = open_page(guarded.url, expected=("status of 401",))
        page = board.page
        board.page.click("#run")
        page.wait_for_selector("#key-dialog[open]")
        page.fill("#key-input", "rrf_wrong_key")
        page.keyboard.press("Enter")
        board.until("document.querySelector('#key-title').textContent.includes('does not know')")
        page.wait_for_selector("#key-dialog[open]")
        # It is there to be mended, and the header says the same.
        assert page.input_value("#key-input") == "rrf_wrong_key"
        assert page.locator("#key-button").inner_text() == "Key …_key refused"
        board.until("document.querySelector('#pulse').innerText === 'API key refused'")
        page.fill("#key-input", keys[1])
        page.keyboard.press("Enter")
        page.wait_for_selector(".problem", state="detached")
        assert len(board.answered()) == 10
        assert page.locator("#key-button").inner_text() == f"Key …{keys[1][-4:]}"

    def test_a_key_that_is_spent_is_told_as_such(
        self, guarded: TestGateway, open_page: OpenPage, keys: tuple[Path, str, str]
    ) -> None:
        board = open_page(guarded.url, expected=("status of 4",))
        board.page.get_by_role("button", name="Enter a key").click()
        board.page.fill("#key-input", keys[2])
        board.page.keyboard.press("Enter")
        board.page.wait_for_selector("#pulse[data-state=ok]")
        board.page.click("#run")
        board.page.wait_for_selector(".answer:not([aria-busy])")
        if not board.page.locator(".problem").count():
            # The first request of a full bucket goes into debt.
            board.ask("another", passages(3))
            board.page.click("#run")
        told = board.problem()
        assert "429" in told
        assert "spent its tokens" in told
