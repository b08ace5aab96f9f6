"""The cache key of a pair: everything its logit depends on, nothing else, and no two pairs alike."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rerank_shared.contract.digest import DIGEST_BYTES, file_digest, pair_digests
from rerank_shared.contract.messages import ScoringIdentity
from rerank_shared.contract.token_ids import Content, TokenIds

IDENTITY = ScoringIdentity(
    model="org/name",
    model_digest="aa",
    tokenizer_digest="bb",
    precision="int8",
    template="101/102/102/0,0,0,1,1",
    max_length=512,
    truncation="longest_first",
    activation="sigmoid",
)
#: Short texts of few letters, so that two pairs often differ only in where one text ends.
texts = st.text("ab\x00\x01\U0001f600", max_size=4) | st.text(max_size=8)
contents = texts | st.lists(st.sampled_from([0, 1, 0x61, 0xFFFFFFFF, 0x62626262]), max_size=3).map(TokenIds.of)
pairs = st.tuples(texts, contents)


def digest(query: str, document: Content, identity: ScoringIdentity = IDENTITY, max_length: int = 512) -> bytes:
    (value,) = pair_digests(identity, max_length, query, [document])
    return value


@given(pairs, pairs)
@example(("ab", "c"), ("a", "bc"))
@example(("", "a"), ("a", ""))
@example(("a\x01\x00\x00\x00\x00\x00\x00\x00b", ""), ("a", "b"))
@example(("q", "bbbb"), ("q", TokenIds(b"bbbb")))
@example(("q", ""), ("q", TokenIds(b"")))
@example(("", "a"), ("", TokenIds.of([1, 0, 0x61])))
def test_different_pairs_differ(one: tuple[str, Content], other: tuple[str, Content]) -> None:
    assert (digest(*one) == digest(*other)) == (one == other)


@given(texts, st.lists(contents, max_size=5))
def test_a_pair_s_digest_does_not_depend_on_its_neighbours(query: str, documents: list[Content]) -> None:
    together = pair_digests(IDENTITY, 512, query, documents)
    assert together == [digest(query, document) for document in documents]
    assert all(len(value) == DIGEST_BYTES for value in together)


OTHERS: dict[str, dict[str, Any]] = {
    "model": {"model": "another/name"},
    "activation": {"activation": "identity"},
    "max_length": {"max_length": 513},
}


@pytest.mark.parametrize("part", ["model_digest", "tokenizer_digest", "precision", "template", "truncation"])
def test_what_the_logit_depends_on_counts(part: str) -> None:
    other = dataclasses.replace(IDENTITY, **{part: getattr(IDENTITY, part) + "x"})
    assert digest("q", "d", other) != digest("q", "d")


@pytest.mark.parametrize("part", OTHERS)
def test_what_the_logit_does_not_depend_on_does_not_count(part: str) -> None:
    # A name is only what weights are called; the model's own limit only bounds the limit that was used.
    other = dataclasses.replace(IDENTITY, **OTHERS[part])
    assert digest("q", "d", other) == digest("q", "d")


def test_every_part_of_an_artefact_is_one_or_the_other() -> None:
    assert {field.name for field in dataclasses.fields(ScoringIdentity)} == {
        "model_digest", "tokenizer_digest", "precision", "template", "truncation", "model", "activation", "max_length",
    }  # fmt: skip


@given(st.integers(8, 600), st.integers(8, 600))
def test_the_limit_that_was_used_counts(one: int, other: int) -> None:
    assert (digest("q", "d", max_length=one) == digest("q", "d", max_length=other)) == (one == other)


def test_parts_do_not_run_into_each_other() -> None:
    moved = dataclasses.replace(IDENTITY, model_digest="aai", precision="nt8")
    assert digest("q", "d", moved) != digest("q", "d")


@given(st.none() | texts, st.none() | texts, texts, contents)
@example(None, "", "q", "d")
def test_a_tenant_s_own_pairs_are_nobody_else_s(
    one: str | None, other: str | None, query: str, document: Content
) -> None:
    (mine,) = pair_digests(IDENTITY, 512, query, [document], cache_tenant=one)
    (its,) = pair_digests(IDENTITY, 512, query, [document], cache_tenant=other)
    assert (mine == its) == (one == other)


def test_a_digest_is_the_same_in_every_process() -> None:
    """Written down, since a change of it silently empties every cache."""
    assert digest("query", "document").hex() == "e0fc44c02393c2479abbf69b98436f54"
    (own,) = pair_digests(IDENTITY, 512, "query", ["document"], cache_tenant="shop")
    assert own.hex() == "8e0a2b6850a834aed999bc3c71d720ff"
    assert digest("query", TokenIds.of([6254])).hex() == "b1e25269ceaa99220e4d772c701d5eca"


def test_a_file_s_digest_is_its_sha256(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"weights" * 100_000)
    assert file_digest(str(path)) == hashlib.sha256(b"weights" * 100_000).hexdigest()
