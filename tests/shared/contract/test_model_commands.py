"""What processes tell of their models: as plain data and back, from later releases too."""

from __future__ import annotations

import pytest

from rerank_shared.contract.model_commands import (
    LoadedModel,
    ModelChange,
    ProcessModels,
    plain,
    read_change,
    read_models,
)
from rerank_shared.errors import MalformedMessage

CHANGE = ModelChange("load", "file:/new", "begun")
TOLD = ProcessModels(
    (LoadedModel(("org/a", "file:/a"), "0f", "int8", 512, 1_000),),
    2_000,
    10_000,
    9_000,
    "the memory of the host",
    CHANGE,
)


def test_what_is_told_comes_back_equal() -> None:
    assert read_models(plain(TOLD)) == TOLD
    assert read_change(plain(CHANGE)) == CHANGE


def test_fields_of_a_later_release_are_ignored_and_missing_ones_have_their_defaults() -> None:
    assert read_change(plain(CHANGE) | {"later": 1}) == CHANGE
    assert read_models({"models": []}) == ProcessModels(())


@pytest.mark.parametrize("told", [None, {"error": "KeyError('load_model')"}, plain(CHANGE) | {"state": "odd"}])
def test_anything_else_is_malformed(told: object) -> None:
    with pytest.raises(MalformedMessage, match="what a worker told of its models can't be read"):
        read_change(told)
