"""API keys: what the file may say, who gets in, and what happens when the file changes while a gateway runs."""

from __future__ import annotations

import hmac
import os
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from rerank_producer.apis.common.call import Problem
from rerank_producer.apis.common.problems import Refused
from rerank_producer.gateway.auth.keyfile import parse, without
from rerank_producer.gateway.auth.keyring import ApiKey, Keyring
from rerank_shared.errors import ConfigurationError
from support.http.keyfile import an_entry, made


@dataclass
class World:
    """A key file and the clocks of who reads it; counts the comparisons that are made."""

    path: Path
    text: str = ""
    monotonic_s: float = 0.0
    today: datetime = datetime(2026, 11, 3, tzinfo=UTC)
    compared: list[tuple[bytes, bytes]] = field(default_factory=list)

    def write(self, text: str) -> None:
        """Replace the file as `rerank-fleet keys` does, and let the time pass in which it is not looked at."""
        self.text = text
        draft = self.path.with_suffix(".draft")
        draft.write_text(text)
        draft.chmod(0o600)
        draft.replace(self.path)
        self.monotonic_s += 1.0

    def add(self, name: str, **limits: object) -> str:
        key, text = made(self.text, name, **limits)
        self.write(text)
        return key

    def open(self) -> Keyring:
        def compare(one: bytes, other: bytes) -> bool:
            self.compared.append((one, other))
            return hmac.compare_digest(one, other)

        return Keyring(self.path, clock=lambda: self.monotonic_s, now=lambda: self.today, compare=compare)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "keys.toml")


def bearer(key: str) -> Headers:
    return Headers({"authorization": f"Bearer {key}"})


def refusal(keyring: Keyring, headers: Headers) -> Problem:
    with pytest.raises(Refused) as caught:
        keyring.find(headers)
    problem = caught.value.problem
    assert (problem.status, problem.code, problem.retryable) == (401, "unauthorized", False)
    assert problem.headers["WWW-Authenticate"].startswith("Bearer")
    return problem


def test_a_key_is_found_with_all_its_limits(world: World) -> None:
    limits = {"tokens_per_s": 100.0, "max_documents": 50, "max_body_bytes": 9_999, "default_deadline_ms": 250.0}
    key = world.add("search", tenant="shop", **limits, expires=date(2027, 1, 1))
    found = world.open().find(bearer(key))
    expires_at = datetime(2027, 1, 1, tzinfo=UTC)
    assert found == ApiKey(key[4:12], "search", "shop", burst_tokens=1_000.0, expires_at=expires_at, **limits)  # type: ignore[arg-type]


def test_a_key_without_limits_is_a_tenant_of_its_own(world: World) -> None:
    first, second = world.add("first"), world.add("second")
    keyring = world.open()
    assert keyring.find(bearer(first)) == ApiKey(first[4:12], "first", "first")
    assert keyring.find(bearer(second)).tenant == "second"


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer {key}"},
        {"authorization": "bearer   {key} "},
        {"authorization": "BEARER {key}"},
        {"x-api-key": "{key}"},
        {"X-API-Key": " {key} "},
    ],
)
def test_a_key_comes_in_either_header(world: World, headers: dict[str, str]) -> None:
    key = world.add("search")
    found = world.open().find(Headers({name: value.format(key=key) for name, value in headers.items()}))
    assert found.name == "search"


@pytest.mark.parametrize(
    "value",
    [
        "", "Bearer", "Bearer ", "{key}", "Basic {key}", "Token {key}", "Bearer {key}x", "Bearer {key} {key}",
        "Bearer sk_{key}", "Bearer {key}\u00e9", "Bearer rrf__", "Bearer {other}", "Bearer " + "x" * 100_000,
        "Bearer {key}" + " " * 300, "Bearer {upper}",
    ],
)  # fmt: skip
def test_whatever_is_not_a_key_is_refused(world: World, value: str) -> None:
    key = world.add("search")
    text = value.format(key=key, other=key[:-1] + ("a" if key[-1] != "a" else "b"), upper=key.upper())
    problem = refusal(world.open(), Headers(raw=[(b"authorization", text.encode("latin-1"))]))
    assert key not in problem.message
    assert key[13:] not in problem.message


@given(st.text(max_size=80), st.sampled_from(["authorization", "x-api-key"]))
def test_no_text_gets_in(tmp_path_factory: pytest.TempPathFactory, text: str, name: str) -> None:
    path = tmp_path_factory.getbasetemp() / "nobody.toml"
    path.write_text(an_entry())
    path.chmod(0o600)
    refusal(Keyring.open(path), Headers(raw=[(name.encode(), text.encode())]))


def test_who_shares_cached_scores_is_said_of_a_key_or_of_all() -> None:
    second = an_entry(id='"ijklmnop"', name='"second"', cache_scope='"fleet"')
    scopes = [entry.key.cache_scope for entry in parse('cache_scope = "tenant"\n' + an_entry() + second)]
    assert scopes == ["tenant", "fleet"]
    assert [entry.key.cache_scope for entry in parse(an_entry())] == ["fleet"]
    with pytest.raises(ConfigurationError, match="cache_scope"):
        parse(an_entry(cache_scope='"mine"'))


def test_how_first_stage_scores_count_is_said_of_a_key_or_of_all() -> None:
    second = an_entry(id='"ijklmnop"', name='"second"', fusion='"none"', fusion_weight="0")
    text = 'fusion = "weighted"\nfusion_weight = 2\n' + an_entry() + second
    assert [(entry.key.fusion, entry.key.fusion_weight) for entry in parse(text)] == [("weighted", 2.0), ("none", 0.0)]
    assert [(entry.key.fusion, entry.key.fusion_weight) for entry in parse(an_entry())] == [(None, None)]
    for wrong in ({"fusion": '"mean"'}, {"fusion_weight": "-1"}, {"fusion_weight": "inf"}, {"fusion_weight": '"1"'}):
        with pytest.raises(ConfigurationError, match=next(iter(wrong))):
            parse(an_entry(**wrong))


def test_who_sends_none_is_told_how_and_who_sends_two_is_refused(world: World) -> None:
    key, other = world.add("search"), world.add("another")
    keyring = world.open()
    problem = refusal(keyring, Headers())
    assert problem.headers == {"WWW-Authenticate": "Bearer"}
    assert "Authorization: Bearer KEY" in problem.message
    value = f"Bearer {key}".encode()
    for name, second in ((b"authorization", f"Bearer {other}"), (b"x-api-key", other), (b"x-api-key", "")):
        both = Headers(raw=[(b"authorization", value), (name, second.encode())])
        assert "more than one" in refusal(keyring, both).message


def test_the_same_key_twice_is_one_key(world: World) -> None:
    key = world.add("search")
    bearer, plain = (b"authorization", f"bearer {key} ".encode()), (b"x-api-key", key.encode())
    for sent in ([bearer, plain], [plain, bearer], [bearer, bearer], [plain, plain]):
        assert world.open().find(Headers(raw=sent)).name == "search"


def test_an_unknown_id_and_a_wrong_secret_cost_and_answer_the_same(world: World) -> None:
    key, other = world.add("search"), world.add("other")
    keyring = world.open()
    wrong_secret = key[:13] + other[13:]
    unknown_id = "rrf_zzzzzzzz_" + key[13:]
    assert keyring.find(bearer(key)).name == "search"
    answers = [refusal(keyring, bearer(wrong)) for wrong in (wrong_secret, unknown_id, "nonsense")]
    assert answers[0] == answers[1] == answers[2]
    assert answers[0].headers == {"WWW-Authenticate": 'Bearer error="invalid_token"'}
    assert len(world.compared) == 4
    assert {len(one) for pair in world.compared for one in pair} == {32}
    assert [one == other for one, other in world.compared] == [True, False, False, False]


def test_a_key_expires_with_the_day(world: World) -> None:
    key = world.add("search", expires=date(2026, 11, 4))
    keyring = world.open()
    world.today = datetime(2026, 11, 3, 23, 59, 59, tzinfo=UTC)
    assert keyring.find(bearer(key)).name == "search"
    world.today = datetime(2026, 11, 4, tzinfo=UTC)
    assert "expired at 2026-11-04" in refusal(keyring, bearer(key)).message
    # Whoever does not know the secret does not learn that there was such a key.
    assert "expired" not in refusal(keyring, bearer(key[:-1] + ("a" if key[-1] != "a" else "b"))).message


def test_new_and_revoked_keys_are_noticed_within_a_second_and_not_looked_for_more_often(world: World) -> None:
    first = world.add("first")
    keyring = world.open()
    second = world.add("second")
    world.monotonic_s -= 0.5
    refusal(keyring, bearer(second))
    world.monotonic_s += 0.5
    assert keyring.find(bearer(second)).name == "second"
    world.write(without(world.text, "first")[1])
    refusal(keyring, bearer(first))
    assert keyring.find(bearer(second)).name == "second"


def test_an_edit_in_place_of_the_same_length_is_noticed(world: World) -> None:
    key = world.add("search")
    keyring = world.open()
    assert keyring.find(bearer(key)).tenant == "search"
    edited = world.text.replace('"search"', '"lookup"')
    status = world.path.stat()
    world.path.write_text(edited)
    os.utime(world.path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    world.monotonic_s += 1.0
    assert keyring.find(bearer(key)).name == "lookup"


@pytest.mark.parametrize("damage", ["[[key", "[[key]]\nname = 1\n", "\udcff", None])
def test_a_damaged_file_changes_nothing_and_is_told_once(
    world: World, damage: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    key = world.add("search")
    keyring, good = world.open(), world.text
    if damage is None:
        world.path.unlink()
    else:
        world.path.write_bytes(damage.encode("utf-8", "surrogateescape"))
    for _ in range(3):
        world.monotonic_s += 1.0
        assert keyring.find(bearer(key)).name == "search"
    (told,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert str(world.path) in told.getMessage()
    world.write(without(good, "search")[1])
    refusal(keyring, bearer(key))


def test_an_emptied_file_locks_everybody_out(world: World) -> None:
    key = world.add("search")
    keyring = world.open()
    assert keyring.find(bearer(key)).name == "search"
    world.write("")
    refusal(keyring, bearer(key))


def test_a_gateway_does_not_start_without_the_file_and_starts_with_an_empty_one(world: World) -> None:
    with pytest.raises(ConfigurationError, match=r"rerank-fleet keys create NAME --file .*keys\.toml"):
        Keyring.open(world.path)
    world.write("")
    refusal(Keyring.open(world.path), bearer("rrf_abcdefgh_" + "x" * 43))
    with pytest.raises(ConfigurationError, match="Is a directory"):
        Keyring.open(world.path.parent)


@pytest.mark.parametrize(("mode", "told"), [(0o600, 0), (0o640, 0), (0o644, 1), (0o620, 1), (0o602, 1)])
def test_a_file_that_others_can_read_or_change_is_told(
    world: World, mode: int, told: int, caplog: pytest.LogCaptureFixture
) -> None:
    world.add("search")
    world.path.chmod(mode)
    Keyring.open(world.path)
    assert [record.levelname for record in caplog.records] == ["WARNING"] * told


def test_a_secret_s_hash_is_in_no_repr(world: World) -> None:
    world.add("search")
    (entry,) = parse(world.text)
    assert repr(entry.digest) not in repr(entry)
    assert entry.digest.hex() not in repr(entry)
