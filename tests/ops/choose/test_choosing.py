"""The choice on a made set where the answer is known, and what is told where there is none."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest

from rerank_ops.choose.chart import chart_of, curve_chart, front_chart
from rerank_ops.choose.configurations import Configuration, ks_of, lengths_of, timed_ks
from rerank_ops.choose.result import as_plain
from rerank_ops.choose.table import choice_text
from rerank_ops.choose.verdict import verdict
from support.choice import KS, LENGTHS, NAMES, choice, model, times

SVG = "{http://www.w3.org/2000/svg}"


def test_it_finds_that_k_beyond_50_is_useless_and_256_tokens_are_as_good_as_512() -> None:
    found = choice()
    assert found.picked is not None
    assert found.confirmed is not None
    assert found.picked.configuration == Configuration("good", 256, 50, 0.0)
    assert found.recall_curve.enough == 50
    assert found.length_curve.enough == 256
    recalls = [point.recall for point in found.recall_curve.points]
    assert recalls[KS.index(50) :] == [1.0, 1.0, 1.0]
    assert recalls[0] == 0.25
    assert found.confirmed.figure.mean == pytest.approx(1.0)
    assert found.confirmed.over_stage.gain.low > 0
    assert found.confirmed.over_stage.p < 0.01
    # It is as good as anything, so that no better one can be named.
    assert found.confirmed.over_best is None or found.confirmed.over_best.gain.mean == 0.0


def test_noise_of_scores_does_not_hide_it() -> None:
    found = choice(model(noise=0.3), seed=3)
    assert found.picked is not None
    assert (found.picked.configuration.max_length, found.picked.configuration.k) == (256, 50)


def test_the_limit_is_kept_and_what_it_costs_is_told() -> None:
    found = choice(p95_ms=200.0)
    assert found.picked is not None
    assert found.confirmed is not None
    assert found.option(found.picked.configuration).latency.p95_ms <= 200.0
    assert found.picked.configuration.k == 30
    assert found.confirmed.over_best is not None
    assert found.confirmed.over_best.gain.high < 0
    assert not any(each.keeps for each in found.options if each.latency.p95_ms > 200.0)


def test_the_cheaper_of_two_models_that_are_equal_is_picked() -> None:
    slow = times()
    costly = model("costly", made=type(slow)(slow.cells, type(slow.cost)(0.001, 300e-6, 0.0), 2, "a machine", 180))
    for order in ((model(), costly), (costly, model())):
        found = choice(*order, ks=(50,), weights=(0.0,))
        assert found.picked is not None
        assert found.picked.configuration.model == "good"


def test_nothing_that_keeps_the_limit_is_told_with_what_would() -> None:
    found = choice(p95_ms=20.0)
    assert found.picked is None
    assert found.confirmed is None
    assert (found.nearest.configuration.max_length, found.nearest.configuration.k) == (128, 10)
    text = " ".join(verdict(found))
    assert "Nothing keeps p95 within 20 ms on 2 processes" in text
    assert "p95 50 ms" in text
    assert "--k-grid" in text
    assert "--max-length" in text
    assert text in " ".join(choice_text(found).splitlines())
    plain = as_plain(found, list(verdict(found)))
    assert plain["picked"] is None
    assert plain["nearest"] == "good, 128 tokens, k 10, weight 0"
    assert len(list(ElementTree.fromstring(chart_of(plain)).iter(f"{SVG}svg"))) == 3


def test_processes_that_would_keep_the_limit_are_told() -> None:
    found = choice(p95_ms=150.0, ks=(50,), weights=(0.0,), processes=1)
    deep = next(each for each in found.front if each.configuration.k >= 50)
    assert deep.planned
    assert deep.processes is not None
    assert deep.processes > 2
    again = choice(p95_ms=150.0, ks=(50,), weights=(0.0,), processes=deep.processes)
    assert again.option(deep.configuration).keeps
    assert again.option(deep.configuration).latency.origin == "planned"


def test_a_load_makes_requests_wait() -> None:
    alone, loaded = (choice(ks=(50,), weights=(0.0,), rate=rate) for rate in (None, 4.0))
    one, other = (each.option(Configuration("good", 256, 50, 0.0)) for each in (alone, loaded))
    assert (one.latency.origin, other.latency.origin) == ("measured", "planned")
    assert other.latency.p95_ms > one.latency.p95_ms


def test_one_configuration_alone_is_confirmed_too() -> None:
    found = choice(ks=(50,), weights=(1.0,))
    assert found.picked is not None
    assert len(found.options) == len(LENGTHS)
    assert [point.at for point in found.recall_curve.points] == [50]
    ElementTree.fromstring(chart_of(as_plain(found, [])))


def test_what_is_printed_and_written_is_whole() -> None:
    found = choice()
    plain = as_plain(found, list(verdict(found)))
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert len(plain["configurations"]) == len(LENGTHS) * len(KS) * 2
    assert list(plain["configurations"][0]["per_query"]) == list(NAMES)
    halves = [each["half"] for each in plain["queries"]]
    assert (halves.count("picking"), halves.count("confirming")) == (30, 30)
    text = choice_text(found)
    for word in ("picked", "enough", "the half that confirms", "Selection bias", "send the best 50 candidates"):
        assert word in text
    for draw in (front_chart, curve_chart):
        root = ElementTree.fromstring(draw(plain))
        assert root.get("class") == "choose"
    titles = [each.text or "" for each in ElementTree.fromstring(front_chart(plain)).iter(f"{SVG}title")]
    assert len(titles) == len(plain["configurations"])


def test_grids_are_bounded_by_what_is_scored_and_read() -> None:
    assert ks_of(60) == (10, 20, 30, 50, 60)
    assert ks_of(5) == (5,)
    assert ks_of(50, [7, 25]) == (7, 25, 50)
    assert lengths_of([128, 256, 512], 256) == (128, 256)
    assert lengths_of([512], 256) == (256,)
    assert timed_ks(KS) == (10, 50, 100)
    assert timed_ks((50,)) == (50,)
