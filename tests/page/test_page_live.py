"""The live view: it follows the fleet by itself, whatever becomes of it."""

from __future__ import annotations

import json
import signal
import time
from dataclasses import replace
from itertools import pairwise

import pytest

from conftest import StartFleet, StartGateway
from page.board import Board
from page.conftest import OpenPage
from rerank_producer import RerankClient
from rerank_shared.contract.messages import Heartbeat, name_of
from rerank_shared.contract.wire import encode_heartbeat
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import connect
from rerank_shared.settings import Settings
from support.http.gateway import TestGateway
from support.jobs import passages
from support.pools import IDENTITY, announce

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("page")]


def test_a_request_shows_in_it(start_fleet: StartFleet, start_gateway: StartGateway, open_page: OpenPage) -> None:
    start_fleet()
    board = open_page(start_gateway().wait_ready().url)
    page = board.page
    page.wait_for_selector("#pulse[data-state=ok]")
    assert page.locator("#pulse").inner_text().startswith("1 worker")
    assert "No request was answered" in page.locator(".panels").inner_text()
    assert board.figure("Workers") == "1"
    board.rerank()
    page.wait_for_selector("table.latency tbody tr")
    assert page.locator("table.latency tbody tr").inner_text().split()[:2] == ["1–10", "1"]
    # Another request, since look-ups are counted with the next one.
    board.rerank()
    board.until("document.querySelector('.latency tbody td').textContent === '2'")
    board.rerank()
    board.until("/%/.test([...document.querySelectorAll('.figure .value')][4].textContent)")
    assert page.locator("table.workers tbody th").inner_text() == "test-0"
    assert page.locator("table.workers").get_by_role("cell").nth(2).inner_text() != "–"


def test_a_worker_that_dies_and_another_that_comes(
    start_fleet: StartFleet, start_gateway: StartGateway, open_page: OpenPage
) -> None:
    fleet = start_fleet()
    board = open_page(start_gateway().wait_ready().url)
    board.page.wait_for_selector("#pulse[data-state=ok]")
    fleet.kill()
    board.page.wait_for_selector("#pulse[data-state=none]")
    fleet.start()
    board.page.wait_for_selector("#pulse[data-state=ok]")
    assert board.page.locator(".notice").count() == 0


def test_work_that_waits_shows_with_its_age(start_gateway: StartGateway, open_page: OpenPage) -> None:
    gateway = start_gateway()
    board = open_page(gateway.url)
    with gateway.client() as http:
        body = {"query": "which rooms?", "documents": passages(30), "class": "bulk", "deadline_ms": 60_000}
        assert http.post("/v1/jobs", json=body).is_success
    row = board.page.locator("table.queues tbody tr", has_text="bulk")
    board.until("document.querySelectorAll('.queues tbody tr')[1].children[1].textContent === '1'")
    assert row.locator("td").nth(3).inner_text().endswith(" s")
    assert board.figure("Waiting") != "0"


def test_pools_show_with_what_waits_for_each(
    settings: Settings, start_gateway: StartGateway, open_page: OpenPage
) -> None:
    keys, soon = Keys(settings.namespace), time.time() + 3600
    with connect(settings) as redis, RerankClient(settings) as client:
        big = announce(redis, keys, IDENTITY, "w1", "w2", now=soon)
        small = announce(redis, keys, replace(IDENTITY, model="org/small", model_digest="dd"), now=soon)
        client.submit("which rooms?", passages(30), model="org/small", deadline_ms=600_000)
    board = open_page(start_gateway().url)
    board.until("document.querySelectorAll('.pools tbody tr').length === 2")
    rows = [row.split() for row in board.page.locator("table.pools tbody tr").all_inner_texts()]
    # Nobody has measured what work costs.
    assert rows == [
        ["org/name", big, "int8", "2", "0", "0", "0", "s"],
        ["org/small", small, "int8", "0", "1", "0", "–"],
    ]


def test_a_gateway_that_falls_silent_is_asked_anew(start_gateway: StartGateway, open_page: OpenPage) -> None:
    """A connection may be gone without either side being told; stopping the process looks the same from here."""
    gateway = start_gateway()
    board = open_page(gateway.url, opened=False)
    script = """(() => {
      const real = window.setTimeout;
      window.setTimeout = (call, wait, ...rest) => real(call, wait === 25000 ? 8000 : wait, ...rest);
    })()"""
    board.page.add_init_script(script)
    board.open(gateway.url)
    board.page.wait_for_selector("#pulse[data-state=none]")
    gateway.process.send_signal(signal.SIGSTOP)
    try:
        board.page.wait_for_selector("#pulse[data-state=wait]")
        told = board.page.locator("#pulse").inner_text()
        assert told.startswith("no news for")
        # Its age is that of now.
        board.until(f"!['{told}', 'no workers alive'].includes(document.querySelector('#pulse').innerText)")
        with board.page.expect_request(f"{gateway.url}/v1/fleet/live"):
            board.page.wait_for_selector("#pulse[data-state=lost]")
        assert board.page.locator("#pulse").inner_text() == "gateway unreachable"
    finally:
        gateway.process.send_signal(signal.SIGCONT)
    board.page.wait_for_selector("#pulse[data-state=none]")
    assert board.page.locator("#fleet.stale").count() == 0


def test_workers_stay_where_they_were_scrolled_to(
    settings: Settings, start_gateway: StartGateway, open_page: OpenPage
) -> None:
    keys, now = Keys(settings.namespace), time.time()
    with connect(settings) as client:
        for number in range(40):
            worker = Heartbeat(f"w-{number}", name_of(settings.model), "here", number, None, now, 1000.0, 0, 0)
            # As long as the test takes: no process renews them.
            client.set(keys.worker(worker.worker_id), encode_heartbeat(worker))
            client.zadd(keys.workers, {worker.worker_id: now + 3600})
    board = open_page(start_gateway().url)
    board.page.wait_for_selector("#pulse[data-state=ok]")
    board.page.evaluate(
        """() => {
          const place = document.querySelector(".scroll");
          place.focus();
          place.scrollTop = 200;
          window.row = place.querySelector("tbody tr");
        }"""
    )
    board.until("!window.row.isConnected")
    found = board.page.evaluate("[document.activeElement.className, document.querySelector('.scroll').scrollTop]")
    assert found == ["scroll", 200]
    assert board.page.locator(".workers tbody tr").count() == 40


def test_a_page_that_nobody_sees_does_not_listen(shown: TestGateway, open_page: OpenPage) -> None:
    """Its browser may keep it for weeks."""
    board = open_page(shown.url, opened=False)
    script = """(() => {
      const real = window.setTimeout;
      window.setTimeout = (call, wait, ...rest) => real(call, wait === 30000 ? 10 : wait, ...rest);
      let hidden = false;
      Object.defineProperty(document, 'hidden', { get: () => hidden });
      window.hide = (value) => { hidden = value; document.dispatchEvent(new Event('visibilitychange')); };
    })()"""
    board.page.add_init_script(script)
    asked: list[str] = []
    board.page.on("request", lambda request: asked.append(request.url))
    ended: list[str] = []
    board.page.on("requestfailed", lambda request: ended.append(request.url))
    board.open(shown.url)
    live = f"{shown.url}/v1/fleet/live"
    assert asked.count(live) == 1
    with board.page.expect_event("requestfailed"):
        board.page.evaluate("hide(true)")
    assert ended == [live]
    with board.page.expect_request(live):
        board.page.evaluate("hide(false)")


class TestEvents:
    FRAMES = 'retry: 2000\n\n: alive\n\ndata: {"a": 1}\n\ndata: {"b":\ndata: 2}\n\nevent: x\ndata:{"c": "é🙂"}\r\n\r\n'

    @pytest.fixture
    def board(self, shown: TestGateway, open_page: OpenPage) -> Board:
        return open_page(shown.url)

    def test_are_read_however_they_are_cut(self, board: Board) -> None:
        script = """async ([text, size]) => {
          const { parser } = await import('/static/events.js');
          const found = [], feed = parser((data) => found.push(data));
          for (let at = 0; at < text.length; at += size) feed(text.slice(at, at + size));
          return found;
        }"""
        for size in (1, 2, 3, 7, 1_000):
            found = board.page.evaluate(script, [self.FRAMES, size])
            assert [json.loads(each) for each in found] == [{"a": 1}, {"b": 2}, {"c": "é🙂"}]


class TestScale:
    @pytest.fixture
    def board(self, shown: TestGateway, open_page: OpenPage) -> Board:
        return open_page(shown.url)

    @pytest.mark.parametrize(("low", "high"), [(0.2, 0.3), (4.0, 80.0), (12.0, 12.0), (900.0, 45_000.0), (0.01, 1e8)])
    def test_durations_lie_on_it(self, board: Board, low: float, high: float) -> None:
        first, last = board.call("latency.js", "ends", [{"p50_ms": low, "p99_ms": high}])
        assert first <= max(low, 0.1)
        assert last >= high
        assert first < last

    def test_scores_that_are_no_probabilities_span_the_bar(self, board: Board) -> None:
        script = """async (scores) => {
          const { scaleOf } = await import('/static/rows.js');
          const scale = scaleOf(scores.map((relevance_score) => ({ relevance_score, scored: true })));
          return scores.map(scale);
        }"""
        # Probabilities by their odds: what is small can be told apart, and so can what is nearly certain.
        assert board.page.evaluate(script, [1.0, 0.5, 0.0]) == [1, 0.5, 0]
        shares = board.page.evaluate(script, [0.999, 0.9, 0.1, 0.0756, 0.01, 0.001, 0.0001])
        assert all(one - other > 0.01 for one, other in pairwise(shares))
        assert abs(shares[4] - shares[5] - 0.1) < 0.01
        shares = board.page.evaluate(script, [9.5, 2.0, -11.0])
        assert (shares[0], shares[-1]) == (1, 0)
        assert all(one > other for one, other in pairwise(shares))

    @pytest.mark.parametrize(("low", "high"), [(12, 250), (4, 80), (900, 45_000), (0.2, 0.3), (0.2, 90_000)])
    def test_its_labels_keep_apart(self, board: Board, low: float, high: float) -> None:
        script = """async ([low, high]) => {
          const { latencyTable } = await import('/static/latency.js');
          const row = { k: "1-10", count: 9, p50_ms: low, p95_ms: high, p99_ms: high };
          document.querySelector(".panels .panel:last-child").replaceChildren(latencyTable([row], 300));
          const boxes = [...document.querySelectorAll(".axis i")].filter((each) => each.checkVisibility())
            .map((each) => each.getBoundingClientRect());
          return boxes.slice(1).map((box, at) => box.left - boxes[at].right);
        }"""
        gaps = board.page.evaluate(script, [low, high])
        assert gaps
        assert min(gaps) > 12

    def test_a_line_begins_as_a_line(self, board: Board) -> None:
        script = """async (count) => {
          const { Series } = await import('/static/spark.js');
          const series = new Series();
          for (let at = 0; at < count; at += 1) series.add(at);
          return series.draw().querySelectorAll(".now").length;
        }"""
        assert [board.page.evaluate(script, count) for count in (0, 1, 3, 4, 200)] == [0, 0, 0, 1, 1]

    def test_numbers_are_short(self, board: Board) -> None:
        said = {7: "7", 999: "999", 1234: "1.23k", 12_345: "12.3k", 999_499: "999k", 1_500_000: "1.50M"}
        assert {value: board.call("format.js", "short", value) for value in said} == said
        spans = {0: "0 s", 0.44: "0.4 s", 42: "42 s", 125: "2 min", 7_500: "2 h 5 min", 200_000: "2 days"}
        spans |= {6_100: "1 h 42 min", 59.9: "60 s"}
        assert {value: board.call("format.js", "span", value) for value in spans} == spans
        milliseconds = {0.5: "0.50 ms", 12.34: "12.3 ms", 345.6: "346 ms", 2_963: "2.96 s", 12_345: "12.3 s"}
        assert {value: board.call("format.js", "ms", value) for value in milliseconds} == milliseconds
