"""What a key may use: names, other names of the same model, and routes, which lead on by themselves."""

from __future__ import annotations

import pytest

from rerank_producer.gateway.auth.keyring import ApiKey
from rerank_producer.gateway.models.allowed import may_use, not_served, refusal, told_to
from rerank_producer.gateway.models.resolver import ResolvedModel
from rerank_shared.errors import UnknownModel

POOLS = {
    "org/m": {"p1"},
    "file:/int8": {"p1"},
    "file:/fp32": {"p2"},
    "other": {"p3"},
    # Two exports of one original, in processes of their own.
    "org/two": {"p4", "p5"},
    "file:/four": {"p4"},
    "file:/five": {"p5"},
    "unreadable": set[str](),
}
ROUTES = {"search", "other"}


def key(*models: str) -> ApiKey:
    return ApiKey("abcdefgh", "shop", "shop", models=models or None)


@pytest.mark.parametrize(
    ("models", "name", "may"),
    [
        ((), "file:/fp32", True),
        (("org/m",), "org/m", True),
        (("org/m",), "file:/int8", True),
        (("file:/int8",), "org/m", True),
        (("file:/int8",), "file:/fp32", False),
        (("search",), "search", True),
        (("search",), "org/m", False),
        (("org/m",), "search", False),
        # A route stands in front of the model of its name, and opens no other name of that model.
        (("other",), "other", True),
        (("file:/int8",), "other", False),
        # Requests for the original may meet either export.
        (("file:/four",), "org/two", False),
        (("file:/four", "file:/five"), "org/two", True),
        (("org/two",), "file:/five", True),
        (("unreadable",), "unreadable", True),
        (("unreadable",), "nobody", False),
    ],
)
def test_a_key_may_use_what_it_names(models: tuple[str, ...], name: str, may: bool) -> None:
    assert may_use(key(*models), name, ROUTES, POOLS) is may


def test_without_keys_all_may_be_used() -> None:
    assert may_use(None, "org/m", ROUTES, POOLS)


@pytest.mark.parametrize(
    ("asked", "in_place_of", "told"),
    [
        ("m", None, "'m'. It may use a, b: send one of these names, or ask"),
        (None, None, "'m', which answers requests that name no model. It may"),
        ("rerank-v3.5", "rerank-v3.5", "'m', which answers for 'rerank-v3.5' here. It may"),
    ],
)
def test_a_refusal_names_the_model_and_the_way_out(asked: str | None, in_place_of: str | None, told: str) -> None:
    refused = refusal(key("a", "b"), asked, ResolvedModel("m", in_place_of)).problem
    assert (refused.status, refused.code, refused.retryable) == (403, "model_not_allowed", False)
    assert refused.message.startswith(f"model: the API key 'shop' may not use {told}")


def test_an_unknown_name_tells_only_what_the_key_may_use() -> None:
    assert not_served(key("a"), "x").message.startswith("model: 'x' is not served by this fleet. It may use a: send")
    assert not_served(key("a"), None).message.startswith("model: no model was named, and several are served. It may")


def test_an_error_of_the_fleet_tells_a_restricted_key_no_other_names() -> None:
    error = UnknownModel("model: 'x' is not served by this fleet, which serves secret; its routes are hidden")
    assert told_to(None, error) is told_to(key(), error) is error
    told = told_to(key("a"), error)
    assert told.message.startswith("model: a model that the request names is not served by this fleet. It may use a:")
    assert told_to(key("a"), told) is told
    error.route = "search"
    assert told_to(key("a"), error).message.startswith("model: what the route 'search' leads to is not served by")
