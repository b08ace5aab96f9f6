"""The name that was meant: the nearest known one, or none."""

from __future__ import annotations

import pytest

from rerank_shared.nearest import did_you_mean, nearest

KNOWN = ["model", "model_digest", "grace_s", "cross-encoder/ms-marco-MiniLM-L-12-v2"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("modle", "model"),
        ("MODLE", "model"),
        ("model_digst", "model_digest"),
        ("grace", "grace_s"),
        ("cross-encoder/ms-marco-minilm-l12-v2", "cross-encoder/ms-marco-MiniLM-L-12-v2"),
        ("port", None),
        ("", None),
    ],
)
def test_the_nearest_name_is_found_whatever_its_case(name: str, meant: str | None) -> None:
    assert nearest(name, KNOWN) == meant
    assert did_you_mean(name, KNOWN) == ("" if meant is None else f"; did you mean {meant}?")


def test_a_text_is_no_name() -> None:
    text = "model_digest" * 20
    assert nearest(text, [text + "s"]) is None


def test_of_nothing_nothing_is_meant() -> None:
    assert nearest("model", []) is None
