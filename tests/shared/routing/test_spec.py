"""Routes as people write them: every mistake is named, and what is right comes back as it was."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_shared.errors import ConfigurationError
from rerank_shared.routing.route import MAX_ABOUT_CHARS, MAX_MODEL_CHARS, MAX_NAME_CHARS, MAX_TARGETS, Share, Stage
from rerank_shared.routing.spec import RouteSpec, digest_of, plain, read_route, read_shares, to_text

WHOLE: dict[str, Any] = {
    "shares": {"minilm": 95.0, "minilm-v2": 5.0},
    "shadow": {"bge": 0.1},
    "stages": [{"model": "minilm"}, {"model": "bge", "keep": 50}, {"model": "big", "keep": "auto"}],
    "limits": {"deadline_ms": 300.0, "bulk_deadline_ms": 60_000.0, "top_n": 10, "max_length": 256},
    "about": "the search page",
}


def test_a_route_comes_back_as_it_was_written() -> None:
    route = read_route("search", WHOLE)
    assert route.shares == (Share("minilm", 95.0), Share("minilm-v2", 5.0))
    assert route.stages == (Stage("minilm"), Stage("bge", 50), Stage("big", "auto"))
    assert (route.limits.deadline_of("interactive"), route.limits.deadline_of("bulk")) == (300.0, 60_000.0)
    assert route.models == ("minilm", "minilm-v2", "bge", "big")
    assert (route.main, route.percent("minilm-v2")) == ("minilm", 5.0)
    assert plain(route) == WHOLE
    assert RouteSpec.model_validate_json(to_text(route)).route("search") == route


def test_a_hub_s_model_goes_by_the_name_that_workers_announce() -> None:
    assert read_route("search", {"shares": {"hf:org/name": 1}}).shares == (Share("org/name", 1.0),)
    assert read_shares(["hf:org/name=1"]) == {"org/name": "1"}


def test_the_digest_is_of_what_a_route_says() -> None:
    one = read_route("search", {"shares": {"a": 1, "b": 2}})
    assert digest_of(one) == digest_of(read_route("search", {"shares": {"b": 2.0, "a": 1.0}, "shadow": {}}, ()))
    assert digest_of(one) != digest_of(read_route("search", {"shares": {"a": 2, "b": 2}}))


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, ["shares: Field required"]),
        ({"shares": {}}, ["shares: one model at least expected"]),
        ({"shares": {"a": 0}}, ["shares.a: Input should be greater than 0"]),
        ({"shares": {"a": -1, "b": "x"}}, ["shares.a: ", "shares.b: "]),
        ({"shares": {"a": float("nan")}}, ["shares.a: "]),
        ({"shares": {"a": float("inf")}}, ["shares.a: "]),
        ({"shares": {" a": 1}}, ["a model's name expected"]),
        ({"shares": {"": 1}}, ["shares"]),
        ({"shares": {"a\nb": 1}}, ["a model's name expected"]),
        ({"shares": {"a" * (MAX_MODEL_CHARS + 1): 1}}, [f"at most {MAX_MODEL_CHARS} characters"]),
        ({"shares": {f"m{n}": 1 for n in range(MAX_TARGETS + 1)}}, ["shares: "]),
        ({"shares": {"search": 1}}, ["'search' is the route itself"]),
        ({"shares": {"other": 1}}, ["'other' is a route too"]),
        ({"shares": {"a": 1}, "shadow": {"other": 0.5}}, ["'other' is a route too"]),
        ({"shares": {"a": 1}, "stages": [{"model": "other"}]}, ["'other' is a route too"]),
        ({"shares": {"a": 1}, "shadow": {"b": 10}}, ["shadow.b: "]),
        ({"shares": {"a": 1}, "stages": [{"model": "b", "keep": 0}]}, ["stages.0.keep: a whole number of at least 1"]),
        ({"shares": {"a": 1}, "stages": [{"model": "b", "keep": 1}]}, ["stages: the first stage scores all documents"]),
        ({"shares": {"a": 1}, "stages": [{"model": "b"}, {"model": "c", "keep": True}]}, ["stages.1.keep"]),
        ({"shares": {"a": 1}, "limits": {"top_n": 0, "max_length": 7}}, ["limits.top_n: ", "limits.max_length: "]),
        ({"shares": {"a": 1}, "shars": 1}, ["shars: no such field; did you mean shares?"]),
        ({"shares": {"a": 1}, "model": "a"}, ["model: no such field"]),
        ({"shares": {"a": 1}, "limits": {"topn": 1}}, ["limits.topn: no such field; did you mean top_n?"]),
        ({"shares": {"a": 1}, "stages": ["b"]}, ['stages: a list of stages expected, such as [{"model": "small"}']),
        ({"shares": {"a": 1}, "stages": [{"modl": "a"}]}, ["stages.0.modl: no such field; did you mean model?"]),
        ({"shares": {"a": 1}, "about": "x" * (MAX_ABOUT_CHARS + 1)}, ["about: "]),
        (["a"], ["a table of fields expected"]),
    ],
)
def test_each_mistake_is_named(fields: Any, told: list[str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_route("search", fields, {"other"})
    for each in told:
        assert each in caught.value.message
    assert len(caught.value.message) < 400


@pytest.mark.parametrize("name", ["", "a b", "-a", "a:b", "é", "a" * (MAX_NAME_CHARS + 1), "a\n"])
def test_a_name_that_no_request_should_need_to_quote_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="the name"):
        read_route(name, {"shares": {"m": 1}})


@pytest.mark.parametrize("name", ["search", "org/name-v2.5", "a" * MAX_NAME_CHARS, "1", "search@eu"])
def test_other_names_are_taken(name: str) -> None:
    assert read_route(name, {"shares": {"m": 1}}).name == name


def test_words_become_shares_and_each_wrong_one_is_told() -> None:
    assert read_shares(["file:/srv/a=b=3", "b=1"]) == {"file:/srv/a=b": "3", "b": "1"}
    with pytest.raises(ConfigurationError) as caught:
        read_shares(["a", "b=1", "b=2", "=3"])
    assert caught.value.message.count("MODEL=WEIGHT expected") == 2
    assert "shares.b: named twice" in caught.value.message


@given(st.dictionaries(st.text(min_size=1, max_size=20), st.floats(), max_size=4), st.text(max_size=70))
def test_whatever_is_written_is_taken_or_refused(pairs: dict[str, float], name: str) -> None:
    try:
        route = read_route(name, {"shares": pairs})
    except ConfigurationError:
        return
    assert read_route(name, plain(route)) == route
