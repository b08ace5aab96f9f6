"""Cascades in the clients: what a caller gets of several models, and what it gets when one of them fails."""

from __future__ import annotations

from typing import Any

import pytest

from rerank_producer import RerankResponse
from rerank_producer._io.port import drive
from rerank_shared.errors import (
    DeadlineExceeded,
    InvalidRequest,
    Overloaded,
    QueueUnavailable,
    ScoringFailed,
    UnknownModel,
)
from support.in_memory import Parts

DOCUMENTS = ["0", "1", "2", "3", "4", "5"]
STAGES: list[dict[str, Any]] = [{"model": "small"}, {"model": "large", "keep": 3}]


def parts_of(**options: Any) -> Parts:
    """A fleet whose small model likes large numbers, and whose large model likes small ones."""
    parts = Parts(**options)
    parts.fleet.serve("small", lambda query, document: float(document))
    parts.fleet.serve("large", lambda query, document: 100.0 - float(document))
    return parts


@pytest.fixture
def parts() -> Parts:
    return parts_of()


def rerank(parts: Parts, documents: Any = DOCUMENTS, **options: Any) -> RerankResponse:
    with parts.fleet.client() as client:
        return client.rerank("q", documents, **({"stages": STAGES} | options))


def order(response: RerankResponse) -> list[int]:
    return [result.index for result in response.results]


def told(response: RerankResponse) -> list[tuple[str, int, int, str | None]]:
    assert response.stages is not None
    assert [stage.complete for stage in response.stages] == [stage.reason is None for stage in response.stages]
    return [(stage.model, stage.documents, stage.scored, stage.reason) for stage in response.stages]


def test_the_best_of_the_first_model_stand_above_in_the_order_of_the_second(parts: Parts) -> None:
    response = rerank(parts)
    assert order(response) == [3, 4, 5, 2, 1, 0]
    assert [result.scored_by for result in response.results] == ["large"] * 3 + ["small"] * 3
    assert [result.logit for result in response.results] == [97, 96, 95, 2, 1, 0]
    assert (response.complete, response.model.name, response.route) == (True, "large", None)
    assert told(response) == [("small", 6, 6, None), ("large", 3, 3, None)]
    assert [(job.model, len(job.documents)) for job in parts.fleet.jobs] == [("small", 6), ("large", 3)]
    assert response.stages is not None
    assert response.usage.pairs_run == 9
    assert response.usage.tokens == sum(stage.usage.tokens for stage in response.stages)
    assert len({stage.digest for stage in response.stages} - {None}) == 2


async def test_so_it_is_on_an_event_loop(parts: Parts) -> None:
    async with parts.fleet.async_client() as client:
        assert order(await client.rerank("q", DOCUMENTS, stages=STAGES)) == [3, 4, 5, 2, 1, 0]


def test_each_stage_has_its_own_cached_scores(parts: Parts) -> None:
    rerank(parts)
    sent = len(parts.fleet.jobs)
    response = rerank(parts)
    assert len(parts.fleet.jobs) == sent
    assert (response.usage.pairs_run, response.usage.pairs_cached) == (0, 9)
    assert all(result.cached for result in response.results)
    # What one model has scored is nothing to the other.
    assert rerank(parts, stages=None, model="large").usage.pairs_cached == 3


@pytest.mark.parametrize("keep", [6, 100, None, "auto"])
def test_a_stage_that_keeps_more_than_there_is_scores_all(parts: Parts, keep: Any) -> None:
    response = rerank(parts, stages=[{"model": "small"}, {"model": "large", "keep": keep}])
    assert order(response) == [0, 1, 2, 3, 4, 5]
    assert told(response)[1] == ("large", 6, 6, None)


def test_of_one_document_and_of_none(parts: Parts) -> None:
    one, none = rerank(parts, ["7"]), rerank(parts, [])
    assert (order(one), one.results[0].scored_by, told(one)[1]) == ([0], "large", ("large", 1, 1, None))
    assert (none.results, none.complete, told(none)[1]) == ([], True, ("large", 0, 0, None))


def test_one_stage_is_its_model(parts: Parts) -> None:
    response = rerank(parts, stages=[{"model": "small"}])
    assert (order(response), told(response)) == ([5, 4, 3, 2, 1, 0], [("small", 6, 6, None)])


def test_three_stages_stand_above_one_another(parts: Parts) -> None:
    parts.fleet.serve("third", lambda query, document: float(document))
    stages = [*STAGES[:1], {"model": "large", "keep": 4}, {"model": "third", "keep": 2}]
    response = rerank(parts, stages=stages)
    assert order(response) == [3, 2, 4, 5, 1, 0]
    assert [result.scored_by for result in response.results] == ["third"] * 2 + ["large"] * 2 + ["small"] * 2


def test_top_n_counts_at_the_end_and_ids_and_metadata_come_back(parts: Parts) -> None:
    documents = [{"id": f"d{text}", "text": text, "metadata": {"page": text}} for text in DOCUMENTS]
    response = rerank(parts, documents, top_n=4)
    assert [(each.id, each.metadata) for each in response.results] == [
        (f"d{number}", {"page": f"{number}"}) for number in (3, 4, 5, 2)
    ]
    assert told(response)[0] == ("small", 6, 6, None)


def test_candidates_of_several_lists_keep_their_ranks(parts: Parts) -> None:
    response = rerank(parts, None, lists=[["0", "5"], ["5", "3"]], fusion="none")
    assert {tuple(result.ranks or ()) for result in response.results} == {(1, None), (2, 1), (None, 2)}


def test_first_stage_scores_choose_who_goes_on_and_count_among_those(parts: Parts) -> None:
    scores = [50.0, 40.0, 0.0, 0.0, 0.0, 0.0]
    response = rerank(parts, scores=scores, fusion="weighted", fusion_ratio=1.0)
    # 0 and 1 go on by their first-stage scores, with 5; among these three the scores count again.
    assert order(response) == [0, 1, 5, 4, 3, 2]
    assert [result.first_stage_score for result in response.results] == [50, 40, 0, 0, 0, 0]
    assert response.results[0].fused_score == pytest.approx(100 + 50 - 30)
    assert response.fusion is not None


def test_reciprocal_ranks_without_scores_take_the_order_of_the_request(parts: Parts) -> None:
    response = rerank(parts, fusion="rrf", fusion_weight=1e6)
    assert order(response) == [0, 1, 2, 3, 4, 5]
    assert [result.scored_by for result in response.results] == ["large"] * 3 + ["small"] * 3
    assert {result.first_stage_score for result in response.results} == {None}


def test_later_stages_teach_no_ratio(parts: Parts) -> None:
    """A short list of the best has other deviations than whole lists, of which the ratio is learned."""
    rerank(parts, scores=[float(number) for number in range(6)], fusion="weighted")
    with parts.fleet.client() as client:
        known = client.rerank("q", DOCUMENTS, model="large", scores=range(6), fusion="weighted").fusion
    assert known is not None
    assert known.learned_requests == 0


def test_a_route_has_stages_and_the_answer_says_so(parts: Parts) -> None:
    limits = {"top_n": 4, "deadline_ms": 700}
    parts.fleet.route("search", {"small": 1.0}, stages=STAGES, limits=limits)
    response = rerank(parts, stages=None, model="search")
    assert order(response) == [3, 4, 5, 2]
    assert (response.route, response.route_version, response.model.name) == ("search", 1, "large")
    assert [job.deadline_ms for job in parts.fleet.jobs] == [700, 700]
    assert len(rerank(parts, stages=None, model="search", top_n=5).results) == 5


def test_both_stages_share_one_deadline() -> None:
    parts = parts_of(pair_s=0.1)
    response = rerank(parts, deadline_ms=2_000)
    assert [job.deadline_ms for job in parts.fleet.jobs] == pytest.approx([2_000, 1_400])
    assert response.timings.total_ms == pytest.approx(900)
    assert response.timings.run_ms == pytest.approx(900)


# What a caller sees when something is wrong.


def test_an_unknown_model_is_named_before_anything_is_scored(parts: Parts) -> None:
    for number, stages in enumerate(([{"model": "larg"}, {"model": "small"}], [{"model": "small"}, {"model": "larg"}])):
        with pytest.raises(UnknownModel, match=rf"^stages\.{number}\.model: 'larg' is not served.*did you mean large"):
            rerank(parts, stages=stages)
    assert parts.fleet.jobs == []


def test_a_route_as_a_stage_is_refused_with_what_a_stage_names(parts: Parts) -> None:
    parts.fleet.route("search", {"small": 1.0})
    with pytest.raises(UnknownModel, match=r"^stages\.1\.model: 'search' .* A stage names a model, never a route$"):
        rerank(parts, stages=[{"model": "small"}, {"model": "search", "keep": 3}])


def test_a_route_to_a_model_that_nobody_serves_answers_by_the_one_before(parts: Parts) -> None:
    parts.fleet.route("search", {"small": 1.0}, stages=[{"model": "small"}, {"model": "gone", "keep": 3}])
    response = rerank(parts, stages=None, model="search")
    assert (order(response), response.complete, response.model.name) == ([5, 4, 3, 2, 1, 0], False, "small")
    assert told(response) == [("small", 6, 6, None), ("gone", 3, 0, "unknown_model")]
    with pytest.raises(UnknownModel, match=r"'gone' .*\(route 'search', version 1"):
        rerank(parts, stages=None, model="search", partial=False)


def kill_pool(parts: Parts, model: str) -> None:
    """Let the processes of one model be gone; those of the others go on."""
    with parts.fleet.client() as client:
        client.rerank("q", [])
    parts.fleet._server.before = lambda: None
    keys, store = parts.pipeline.keys, parts.fleet._server.store
    store.end(keys.of(parts.pool_of(model).id).workers)


def test_a_pool_without_workers_is_not_waited_for(parts: Parts) -> None:
    rerank(parts, ["9"], stages=None, model="large")
    kill_pool(parts, "large")
    response = rerank(parts, deadline_ms=5_000)
    assert (order(response), response.complete, response.timings.total_ms) == ([5, 4, 3, 2, 1, 0], False, 0)
    assert [result.scored_by for result in response.results] == ["small"] * 6
    assert told(response)[1] == ("large", 3, 0, "no_workers")
    assert rerank(parts, ["9"]).complete, "its cached scores still count"


def test_a_refused_stage_leaves_the_order_before() -> None:
    parts = parts_of(pair_s=0.1)
    rerank(parts, stages=None, model="small", deadline_ms=5_000)
    with parts.fleet.client() as client:
        client.submit("other", [str(number) for number in range(100)], model="large", deadline_ms=1_000)
    response = rerank(parts, deadline_ms=1_500)
    assert (order(response), told(response)[1]) == ([5, 4, 3, 2, 1, 0], ("large", 3, 0, "overloaded"))
    with pytest.raises(Overloaded):
        rerank(parts, deadline_ms=1_500, partial=False)


def test_a_deadline_between_the_stages_leaves_the_order_before() -> None:
    response = rerank(parts_of(pair_s=0.1), deadline_ms=640)
    assert (order(response), response.complete) == ([5, 4, 3, 2, 1, 0], False)
    assert told(response) == [("small", 6, 6, None), ("large", 3, 0, "deadline_exceeded")]


def test_a_stage_that_is_late_stands_above_with_what_it_reached() -> None:
    response = rerank(parts_of(pair_s=0.1), deadline_ms=850)
    # Of 5, 4 and 3 the first two were reached.
    assert (order(response), response.complete) == ([4, 5, 3, 2, 1, 0], False)
    assert [result.scored_by for result in response.results] == ["large"] * 2 + ["small"] * 4
    assert told(response)[1] == ("large", 3, 2, "deadline_exceeded")
    with pytest.raises(DeadlineExceeded):
        rerank(parts_of(pair_s=0.1), deadline_ms=850, partial=False)


def test_a_first_stage_that_is_late_is_the_answer_with_the_rest_unscored() -> None:
    response = rerank(parts_of(pair_s=0.1), deadline_ms=330)
    assert (order(response), response.complete) == ([2, 1, 0, 3, 4, 5], False)
    assert [result.scored_by for result in response.results] == ["small"] * 3 + [None] * 3
    assert [reason for *_, reason in told(response)] == ["deadline_exceeded", "deadline_exceeded"]


def test_a_spent_deadline_still_gives_what_both_caches_know(parts: Parts) -> None:
    rerank(parts)
    assert rerank(parts, deadline_ms=0).complete
    parts.fleet.clear_cache()
    response = rerank(parts, deadline_ms=0)
    assert (order(response), [reason for *_, reason in told(response)]) == ([*range(6)], ["deadline_too_short"] * 2)


@pytest.mark.parametrize(("deadline_ms", "count"), [(5_000, 6), (850, 2), (640, 0)])
def test_auto_keeps_what_the_cost_says_fits(deadline_ms: float, count: int) -> None:
    stages = [{"model": "small"}, {"model": "large", "keep": "auto"}]
    parts = parts_of(pair_s=0.1)
    response = rerank(parts, stages=stages, deadline_ms=deadline_ms)
    assert [result.scored_by for result in response.results] == ["large"] * count + ["small"] * (6 - count)
    assert response.complete == (count > 0)
    expected = ("large", count, count, None) if count else ("large", 6, 0, "deadline_too_short")
    assert told(response)[1] == expected


def test_auto_counts_no_time_for_cached_scores() -> None:
    parts = parts_of(pair_s=0.1)
    rerank(parts, ["5", "4"], stages=None, model="large", deadline_ms=5_000)
    rerank(parts, stages=None, model="small", deadline_ms=5_000)
    response = rerank(parts, stages=[{"model": "small"}, {"model": "large", "keep": "auto"}], deadline_ms=250)
    assert (order(response), response.complete) == ([2, 3, 4, 5, 1, 0], True)


def test_a_server_that_goes_away_in_a_later_stage_leaves_the_order_before() -> None:
    parts = parts_of(pair_s=0.1)
    parts.fleet.after(0.65, parts.fleet.go_away)
    response = rerank(parts, deadline_ms=2_000)
    assert (order(response), told(response)[1][2:]) == ([5, 4, 3, 2, 1, 0], (0, "queue_unavailable"))
    with pytest.raises(QueueUnavailable):
        rerank(parts, deadline_ms=100)


def test_a_model_that_fails_leaves_the_order_before(parts: Parts) -> None:
    for model in ("large", "broken"):
        parts.fleet.serve(model, lambda query, document: 1 / 0)
    response = rerank(parts)
    assert (order(response), told(response)[1]) == ([5, 4, 3, 2, 1, 0], ("large", 3, 0, "scoring_failed"))
    with pytest.raises(ScoringFailed):
        rerank(parts, partial=False)
    parts.fleet.serve("large", lambda query, document: 1.0)
    with pytest.raises(ScoringFailed, match="document 0"):
        rerank(parts, stages=[{"model": "broken"}, {"model": "large"}])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"stages": [{"model": "small", "keep": 3}]}, "stages: the first stage scores all documents"),
        (
            {"stages": [{"model": "small"}, {"model": "large", "keep": 0}]},
            "stages.1.keep: a whole number of at least 1",
        ),
        ({"stages": [{"model": "small"}, {"model": "large", "keep": "all"}]}, "stages.1.keep: a whole number"),
        (
            {"stages": [{"model": "small"}, {"model": "large", "kep": 3}]},
            "stages.1.kep: no such field; did you mean keep",
        ),
        ({"stages": [{"keep": 3}]}, "stages.0.model: Field required"),
        ({"stages": [{"model": " "}]}, "stages.0.model: a model's name expected"),
        ({"stages": [{"model": "small"}] * 17}, "stages: List should have at most 16 items"),
        *(
            (
                {"stages": wrong},
                'stages: a list of stages expected, such as [{"model": "small"}, {"model": "big", "keep":',
            )
            for wrong in ("small", ["small", "large"], {"model": "small"}, [{"model": "small"}, None], 1)
        ),
        ({"stages": []}, 'stages: an empty list; give stages, such as [{"model": "small"}, {"model": "big", "keep":'),
        ({"model": "small"}, "stages: give either `stages` or `model`"),
        ({"max_length": 513}, "max_length: 513 is beyond"),
    ],
)
def test_each_mistake_is_named(parts: Parts, options: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        rerank(parts, **options)
    assert said in refused.value.message
    assert parts.fleet.jobs == []


def test_a_submitted_request_has_one_model(parts: Parts) -> None:
    parts.fleet.route("search", {"small": 1.0}, stages=STAGES)
    with parts.fleet.client() as client:
        for options in ({"stages": STAGES}, {"model": "search"}):
            with pytest.raises(InvalidRequest, match="stages: a submitted request has one model"):
                client.submit("q", DOCUMENTS, **options)
    assert parts.fleet.jobs == []


def test_who_needs_one_model_takes_no_route_with_stages(parts: Parts) -> None:
    parts.fleet.route("search", {"small": 1.0}, stages=STAGES)
    with pytest.raises(InvalidRequest, match="'search' is a route to small, large, and one model is needed"):
        drive(parts.pipeline.lookup.sole_model(parts.port, "search"))
