"""Which model answers for a name: what is served, its last part, what it stands in for, and what is nobody's."""

from __future__ import annotations

import pytest

from rerank_producer.gateway.models.resolver import ANY, ModelResolver, ResolvedModel
from rerank_producer.gateway.settings import load_gateway_settings
from rerank_shared.errors import UnknownModel

OWN = "cross-encoder/ms-marco-MiniLM-L-12-v2"
OTHER = "BAAI/bge-reranker-v2-m3"
ONE = {OWN: OWN}
TWO = {OWN: OWN, OTHER: OTHER}
#: Exported models go by their source, too.
ALIASED = {OTHER: OTHER, "file:/srv/bge": OTHER}
HOSTED = ["rerank-v3.5", "jina-reranker-v2-base-multilingual", "rerank-2.5", "voyage-rerank"]
ODD = ["bge-reranker-v2-m3", "default", "Rerank-v3.5", "cohere/rerank-v3.5", "cross-encoder/ms-marco-MiniLM-L12-v2"]

DEFAULT = ModelResolver(OWN, load_gateway_settings().stand_in_for)
STRICT = ModelResolver(OWN, ())


@pytest.mark.parametrize("resolver", [DEFAULT, STRICT], ids=["default", "strict"])
@pytest.mark.parametrize(
    ("name", "model"),
    [
        (None, OWN),
        ("", OWN),
        (OWN, OWN),
        (OTHER, OTHER),
        (f"hf:{OTHER}", OTHER),
        ("ms-marco-MiniLM-L-12-v2", OWN),
        ("BGE-reranker-v2-m3", OTHER),
    ],
)
def test_what_is_served_is_meant_and_so_is_its_last_part(resolver: ModelResolver, name: str | None, model: str) -> None:
    assert resolver.resolve(name, TWO) == ResolvedModel(model)


@pytest.mark.parametrize("name", HOSTED + ODD)
def test_a_fleet_of_one_model_answers_for_every_name(name: str) -> None:
    assert DEFAULT.resolve(name, ONE) == ResolvedModel(OWN, in_place_of=name)


@pytest.mark.parametrize("name", [*HOSTED, *ODD[1:]])
def test_so_does_one_that_serves_another_than_the_gateway_s(name: str) -> None:
    assert DEFAULT.resolve(name, ALIASED) == ResolvedModel(OTHER, in_place_of=name)
    assert ModelResolver("file:/srv/bge", (ANY,)).resolve(name, ALIASED) == ResolvedModel(
        "file:/srv/bge", in_place_of=name
    )


@pytest.mark.parametrize("name", HOSTED)
def test_of_several_models_the_gateway_s_own_answers_for_hosted_ones(name: str) -> None:
    assert DEFAULT.resolve(name, TWO) == ResolvedModel(OWN, in_place_of=name)


@pytest.mark.parametrize("name", ["default", "cohere/rerank-v3.5"])
def test_of_several_models_none_is_meant_by_another_name(name: str) -> None:
    with pytest.raises(UnknownModel) as caught:
        DEFAULT.resolve(name, TWO)
    assert caught.value.message == (
        f"model: {name!r} is not served by this fleet, which serves {OTHER}, {OWN}. Send one of these names or none; "
        "or have RERANK_GATEWAY_STAND_IN_FOR set where the gateway runs, to names that its own model answers for"
    )


def test_the_nearest_of_several_models_is_told() -> None:
    with pytest.raises(UnknownModel, match=rf"which serves {OTHER}, {OWN}; did you mean {OTHER}\? Send one of these"):
        DEFAULT.resolve("BAAI/bge-reranker-v2-m4", TWO)


@pytest.mark.parametrize("name", [*HOSTED, *ODD])
def test_a_strict_gateway_says_what_to_set(name: str) -> None:
    with pytest.raises(UnknownModel, match=r"RERANK_GATEWAY_STAND_IN_FOR .* \* for all$"):
        STRICT.resolve(name, ONE)


@pytest.mark.parametrize("resolver", [DEFAULT, STRICT], ids=["default", "strict"])
@pytest.mark.parametrize("name", [None, ""])
def test_no_name_is_the_only_model_that_is_served(resolver: ModelResolver, name: str | None) -> None:
    assert resolver.resolve(name, ALIASED) == ResolvedModel(OTHER)
    with pytest.raises(
        UnknownModel, match=f"^model: '{OWN}' is not served by this fleet, which serves BAAI.*, b. Send"
    ):
        resolver.resolve(name, {OTHER: OTHER, "b": "b"})


def test_listed_names_are_those_that_are_stood_in_for() -> None:
    listed = ModelResolver(OWN, ("bge-*", "defaul?"))
    assert listed.resolve("bge-reranker-v2-m3", ONE).model == OWN
    assert listed.resolve("default", ONE).model == OWN
    with pytest.raises(UnknownModel):
        listed.resolve("rerank-v3.5", ONE)


def test_a_last_part_that_two_models_have_is_not_one_s_name() -> None:
    served = {"a/reranker": "a/reranker", "b/reranker": "b/reranker"}
    with pytest.raises(UnknownModel):
        ModelResolver("a/reranker", ()).resolve("reranker", served)


def test_before_anything_is_announced_the_request_finds_out() -> None:
    assert DEFAULT.resolve("default", {}) == ResolvedModel(OWN)
    assert ModelResolver(OWN, ("rerank-*",)).resolve("rerank-v3.5", {}) == ResolvedModel(OWN)
    assert STRICT.resolve("default", {}) == ResolvedModel("default")
    assert STRICT.resolve(None, {}) == ResolvedModel(OWN)


def test_a_name_that_is_a_text_is_not_repeated_whole() -> None:
    with pytest.raises(UnknownModel) as caught:
        STRICT.resolve("x" * 100_000, ONE)
    assert len(caught.value.message) < 1_000


@pytest.mark.parametrize("resolver", [DEFAULT, STRICT], ids=["default", "strict"])
@pytest.mark.parametrize("name", [OTHER, f"hf:{OTHER}", "bge-reranker-v2-m3"])
def test_a_known_name_whose_workers_are_away_is_answered_by_no_other_model(resolver: ModelResolver, name: str) -> None:
    assert resolver.resolve(name, ONE, (), {OTHER: OTHER}) == ResolvedModel(OTHER)
    assert resolver.resolve(name, {"b": "b", "c": "c"}, (), {OTHER: OTHER}) == ResolvedModel(OTHER)


def test_a_known_name_comes_before_another_one_s_last_part() -> None:
    assert DEFAULT.resolve("bge", {"org/bge": "org/bge"}, (), {"bge": "bge"}) == ResolvedModel("bge")
    assert DEFAULT.resolve("bge", {"org/bge": "org/bge"}, (), {"old/bge": "old/bge"}) == ResolvedModel("org/bge")


def test_the_only_model_stands_in_for_the_gateway_s_own_whose_workers_are_away_and_the_answer_says_so() -> None:
    away = {OWN: OWN}
    assert DEFAULT.resolve(None, {OTHER: OTHER}, (), away) == ResolvedModel(OTHER, in_place_of=OWN)
    assert DEFAULT.resolve(HOSTED[0], {OTHER: OTHER}, (), away) == ResolvedModel(OTHER, in_place_of=HOSTED[0])


def test_of_several_models_none_stands_in_for_the_gateway_s_own() -> None:
    served, away = {OTHER: OTHER, "b": "b"}, {OWN: OWN}
    assert DEFAULT.resolve(None, served, (), away) == ResolvedModel(OWN)
    assert DEFAULT.resolve(HOSTED[0], served, (), away) == ResolvedModel(OWN, in_place_of=HOSTED[0])


@pytest.mark.parametrize("resolver", [DEFAULT, STRICT], ids=["default", "strict"])
def test_a_route_keeps_its_name_and_counts_as_no_model(resolver: ModelResolver) -> None:
    for served in (ONE, TWO, {}):
        assert resolver.resolve("search", served, {"search"}) == ResolvedModel("search")
    assert resolver.resolve(None, ONE, {"search"}) == ResolvedModel(OWN)
    assert ModelResolver("search", ()).resolve(None, TWO, {"search"}) == ResolvedModel("search")


def test_hosted_names_go_to_the_gateway_s_own_route_and_others_are_told_of_routes() -> None:
    own = ModelResolver("search", load_gateway_settings().stand_in_for)
    assert own.resolve(HOSTED[0], TWO, {"search"}) == ResolvedModel("search", in_place_of=HOSTED[0])
    with pytest.raises(UnknownModel, match=r"serch.*did you mean search\?"):
        STRICT.resolve("serch", TWO, {"search"})
