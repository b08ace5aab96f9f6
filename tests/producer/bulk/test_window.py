"""The window: a fleet is kept busy, however large or small requests are, and little waits in it."""

from __future__ import annotations

from rerank_producer.bulk.asking.window import AHEAD_S, LEAST_REQUESTS, MOST_PAIRS, FleetSpeed, Window
from rerank_shared.contract.schemas import RerankRequest, parse_request
from rerank_shared.scheduling.cost import CostParameters

COST = CostParameters(run_s=0.0, token_s=0.001, token_longest_s=0.0)


def request(documents: int = 10, words: int = 20) -> RerankRequest:
    return parse_request("a query", ["word " * words] * documents)


def filled(window: Window, each: RerankRequest, most: int = 10_000) -> int:
    """Send equal requests as long as the window admits one; return how many."""
    for number in range(most):
        if not window.admits(len(each.documents)):
            return number
        window.sent(number, each)
    return most


def test_while_the_speed_is_unknown_a_few_requests_a_process_are_in_flight() -> None:
    assert filled(Window(), request()) == LEAST_REQUESTS
    assert filled(Window(speed=FleetSpeed(processes=4)), request()) == 4 * LEAST_REQUESTS


def test_work_of_some_seconds_is_in_flight_for_each_process() -> None:
    each = request()
    seconds = FleetSpeed(1, COST).run_s(each)
    for processes in (4, 8):
        window = Window(most_requests=10_000, speed=FleetSpeed(processes, COST))
        sent = filled(window, each)
        assert (sent - 1) * seconds < AHEAD_S * processes <= sent * seconds


def test_large_requests_still_keep_every_process_busy() -> None:
    window = Window(speed=FleetSpeed(8, COST))
    assert filled(window, request(documents=500, words=200)) == 8 * LEAST_REQUESTS


def test_one_request_is_always_admitted_and_pairs_are_bounded() -> None:
    assert filled(Window(most_requests=1), request()) == 1
    many = request(documents=MOST_PAIRS)
    assert filled(Window(speed=FleetSpeed(8, COST)), many) == 1


def test_answers_that_are_not_taken_fill_the_window() -> None:
    """Else a slow first row would let all that comes behind it pile up in memory."""
    window, each = Window(speed=FleetSpeed(1_000, None)), request(documents=MOST_PAIRS // 4)
    assert filled(window, each) == 4
    window.answered(1)
    assert not window.admits(len(each.documents))
    window.taken(0)
    assert window.admits(len(each.documents))
    assert window.requests == 2
