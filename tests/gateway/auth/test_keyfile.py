"""The file of keys as text: what an entry may say, how one is added, and how one is cut out."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_producer.gateway.auth import keyfile
from rerank_producer.gateway.auth.keyfile import parse, without
from rerank_producer.gateway.auth.keyring import ApiKey
from rerank_shared.contract.schemas import parse_request
from rerank_shared.errors import ConfigurationError
from support.http.keyfile import DIGEST, TODAY, an_entry, made


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"id": '"ABCDEFGH"'}, "id"),
        ({"id": '"abcdefgh\\n"'}, "id"),
        ({"name": '"two words"'}, "name"),
        ({"sha256": '"00"'}, "sha256"),
        ({"tenant": '"a:b"'}, "tenant"),
        ({"tenant": '""'}, "tenant"),
        ({"tokens_per_s": "0"}, "tokens_per_s"),
        ({"tokens_per_s": "inf"}, "tokens_per_s"),
        ({"tokens_per_s": '"100"'}, "tokens_per_s"),
        ({"burst_tokens": "100"}, "burst_tokens"),
        ({"max_documents": "0"}, "max_documents"),
        ({"default_deadline_ms": "nan"}, "default_deadline_ms"),
        ({"models": "[]"}, "models"),
        ({"models": '"minilm"'}, "models"),
        ({"models": '["minilm", " "]'}, r"models\.1"),
        ({"expires": '"tomorrow"'}, "expires"),
        ({"token_per_s": "5"}, r"key\.0\.token_per_s: no such field; did you mean tokens_per_s\?"),
    ],
)
def test_a_wrong_field_is_named_and_never_quoted(fields: dict[str, str], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named) as caught:
        parse(an_entry(**fields))
    assert "two words" not in caught.value.message


@pytest.mark.parametrize("what", ["id", "name"])
def test_two_keys_share_neither_id_nor_name(what: str) -> None:
    other = {"id": '"hgfedcba"', "name": '"other"'}
    del other[what]
    with pytest.raises(ConfigurationError, match=f"the {what} "):
        parse(an_entry() + an_entry(**other))


@pytest.mark.parametrize(
    "expires", ["2027-01-01", "2027-01-01T00:00:00Z", "2027-01-01T02:00:00+02:00", "2027-01-01 00:00:00"]
)
def test_an_expiry_is_a_day_or_a_time(expires: str) -> None:
    (entry,) = parse(an_entry(expires=expires))
    assert entry.key.expires_at == datetime(2027, 1, 1, tzinfo=UTC)


def test_a_new_key_is_256_random_bits_of_which_the_file_has_the_hash() -> None:
    keys = [made("", "search") for _ in range(50)]
    assert len({key for key, _ in keys}) == 50
    for key, text in keys:
        prefix, key_id, secret = key.split("_")
        assert (prefix, len(key_id), len(secret)) == ("rrf", 8, 43)
        assert secret not in text
        (entry,) = tomllib.loads(text)["key"]
        assert entry == {
            "id": key_id, "name": "search", "sha256": hashlib.sha256(secret.encode()).hexdigest(), "created": TODAY,
        }  # fmt: skip


@pytest.mark.parametrize("name", ["", "two words", 'a"\ntenant = "b', "x" * 65, "a:b", "é"])
def test_a_name_that_can_not_be_a_tenant_makes_no_key(name: str) -> None:
    with pytest.raises(ConfigurationError, match="name"):
        made("", name)
    with pytest.raises(ConfigurationError, match="tenant"):
        made("", "fine", tenant=name)


def test_tenants_obey_the_pattern_of_requests() -> None:
    (entry,) = parse(an_entry(name='"' + "aZ9_.-" + "x" * 58 + '"'))
    assert parse_request("q", ["d"], tenant=entry.key.tenant).tenant == entry.key.tenant
    assert keyfile.NAME.replace("{1,", "{0,") == r"^[A-Za-z0-9_.-]{0,64}$"


def test_a_name_is_given_once() -> None:
    _, text = made("", "search")
    with pytest.raises(ConfigurationError, match="revoke it first"):
        made(text, "search")


def test_what_a_person_wrote_stays() -> None:
    _, text = made("", "first")
    _, text = made(text + "# the shop's own, ask Ann", "second")
    text = text.replace('name = "first"', 'name = "first" # do not touch')
    _, text = made(text, "third")
    text = text.replace("[[key]]\nid", "# one\n# two\n[[key]]\nid")
    key, changed = without(text, "second")
    assert key.name == "second"
    assert [entry.key.name for entry in parse(changed)] == ["first", "third"]
    for kept in ("made by `rerank-fleet keys create`", "# do not touch", "ask Ann"):
        assert kept in changed
    assert changed.count("# one\n# two\n[[key]]") == 2, "the comment right above an entry is its own"
    assert changed.count("# two") == 2


names = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=5, unique=True)


@given(names, st.data())
def test_of_many_keys_just_the_one_goes(chosen: list[str], data: st.DataObject) -> None:
    text = ""
    for name in chosen:
        comment = data.draw(st.sampled_from(["", "# [[key]]\n", "\n\n# a\n"]))
        _, text = made(text + comment, name)
    entries = parse(text)
    gone = data.draw(st.sampled_from(entries))
    by: Callable[[ApiKey], str] = data.draw(st.sampled_from([lambda key: key.name, lambda key: key.key_id]))
    key, changed = without(text, by(gone.key))
    assert key == gone.key
    assert parse(changed) == [entry for entry in entries if entry != gone]


@pytest.mark.parametrize("text", [f'key = [{{id = "abcdefgh", name = "search", sha256 = "{DIGEST}"}}]\n'])
def test_an_entry_that_can_not_be_cut_out_is_left_to_its_author(text: str) -> None:
    with pytest.raises(ConfigurationError, match="by hand"):
        without(text, "search")


def test_an_unknown_name_is_told_with_those_there_are() -> None:
    key, text = made("", "search")
    with pytest.raises(ConfigurationError, match=rf"'nobody'; there are: search \({key[4:12]}\)"):
        without(text, "nobody")


@pytest.mark.parametrize("text", ["a = " + "9" * 5_000, "a = " + "[" * 100_000], ids=["digits", "brackets"])
def test_a_file_that_the_parser_chokes_on_is_told_like_any_other(text: str) -> None:
    with pytest.raises(ConfigurationError, match="no valid TOML"):
        parse(text)
