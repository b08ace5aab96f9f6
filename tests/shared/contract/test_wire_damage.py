"""Damage: no bytes at all raise anything but a WireError, and no wrong field gets inside."""

from __future__ import annotations

import math
import pickle
from typing import Any, get_type_hints

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_shared.contract import wire
from rerank_shared.contract.messages import (
    Fusion,
    Outcome,
    Score,
)
from rerank_shared.contract.token_ids import TokenIds
from rerank_shared.errors import (
    MalformedMessage,
    UnsupportedVersion,
    WireError,
)
from rerank_shared.keys import CacheScope, FirstStageOrder, FusionMethod, JobClass
from support.messages import ENVELOPED, EVERY_KIND, IDENTITY, JOB_FIELDS, KINDS, anything, outcomes


@pytest.mark.parametrize(
    ("place", "wrong", "told"),
    [(1, "urgent", "job_class: class 'urgent'"), (5, "7", "max_length: a whole number expected, not str")],
)
def test_what_is_refused_is_named(place: int, wrong: Any, told: str) -> None:
    fields = [*JOB_FIELDS[:place], wrong, *JOB_FIELDS[place + 1 :]]
    with pytest.raises(MalformedMessage, match=f"'job' lacks or garbles a field: {told}"):
        wire.decode_job(msgpack.packb([1, "job", fields]))


def test_what_is_missing_is_named() -> None:
    with pytest.raises(MalformedMessage, match="'enqueued_at' and 'deadline_at'"):
        wire.decode_job(msgpack.packb([1, "job", JOB_FIELDS[:6]]))
    plain = wire.outcome_to_plain(Outcome("j", (), IDENTITY, "w"))
    del plain["worker"]
    with pytest.raises(MalformedMessage, match="worker"):
        wire.outcome_from_plain(plain)


@EVERY_KIND
@given(data=st.data())
def test_a_cut_message_is_malformed(kind: str, data: st.DataObject) -> None:
    whole = KINDS[kind].encode(data.draw(KINDS[kind].values))
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    with pytest.raises(MalformedMessage):
        KINDS[kind].decode(cut)
    with pytest.raises(MalformedMessage):
        KINDS[kind].decode(whole + b"\x00")


@EVERY_KIND
@given(data=st.binary(max_size=60))
def test_random_bytes_are_a_wire_error(kind: str, data: bytes) -> None:
    with pytest.raises(WireError):
        KINDS[kind].decode(data)


@EVERY_KIND
@given(fields=anything)
def test_any_content_in_a_right_envelope_is_read_or_refused(kind: str, fields: Any) -> None:
    try:
        value = KINDS[kind].decode(msgpack.packb([wire.VERSION, kind, fields]))
    except WireError:
        return
    KINDS[kind].encode(value)


@pytest.mark.parametrize("field", [5, 8, 9], ids=["max_length", "attempt", "tokens"])
@pytest.mark.parametrize("wrong", [math.inf, math.nan, 1.5, "7", b"7", [7]])
def test_a_count_is_a_whole_number(field: int, wrong: Any) -> None:
    fields: list[Any] = ["job", "bulk", "model", "query", ["text"], 512, 1.0, 2.0, 1, 7]
    assert wire.decode_job(msgpack.packb([1, "job", fields])).tokens == 7
    fields[field] = wrong
    with pytest.raises(MalformedMessage):
        wire.decode_job(msgpack.packb([1, "job", fields]))


@pytest.mark.parametrize("packed", [b"1", b"123", b"12345"])
def test_ids_of_broken_bytes_are_malformed(packed: bytes) -> None:
    with pytest.raises(MalformedMessage, match="token ids"):
        wire.decode_texts(msgpack.packb([2, "texts", ["text", packed]]))


@pytest.mark.parametrize("kind", ENVELOPED)
@given(data=st.data(), wrong=anything)
def test_one_wrong_field_never_gets_inside(kind: str, data: st.DataObject, wrong: Any) -> None:
    version, name, fields = msgpack.unpackb(KINDS[kind].encode(data.draw(KINDS[kind].values)))
    fields[data.draw(st.integers(0, len(fields) - 1))] = wrong
    try:
        value = KINDS[kind].decode(msgpack.packb([version, name, fields]))
    except WireError:
        return
    hints = get_type_hints(type(value))
    for field in type(value).__slots__:
        _assert_is(getattr(value, field), hints[field])


def _assert_is(value: Any, hint: Any) -> None:
    """Hold a value against the annotation of its field, as deep as this module's annotations go."""
    plain = {str: str, int: int, float: float | int, bool: bool}
    if hint in plain:
        assert isinstance(value, plain[hint])
        assert not isinstance(value, float) or math.isfinite(value)
    elif type(None) in getattr(hint, "__args__", ()):
        if value is not None:
            _assert_is(value, hint.__args__[0])
    elif getattr(hint, "__origin__", None) is tuple:
        assert isinstance(value, tuple)
        for item in value:
            _assert_is(item, hint.__args__[0])
    elif getattr(hint, "__origin__", None) is dict:
        for key, item in value.items():
            _assert_is(key, hint.__args__[0])
            _assert_is(item, hint.__args__[1])
    elif hint == str | TokenIds:
        assert isinstance(value, str | TokenIds)
    elif hint is JobClass:
        assert value in ("interactive", "bulk")
    elif hint is CacheScope:
        assert value in ("fleet", "tenant")
    elif hint is FusionMethod:
        assert value in ("none", "weighted", "zscore", "rrf")
    elif hint is FirstStageOrder:
        assert value in ("descending", "ascending")
    elif hint is Fusion:
        # Its weight alone may be infinite.
        assert value.weight >= 0
        for field, inner in get_type_hints(hint).items():
            if field != "weight":
                _assert_is(getattr(value, field), inner)
    else:
        assert isinstance(value, hint)
        for field, inner in get_type_hints(hint).items():
            _assert_is(getattr(value, field), inner)


@EVERY_KIND
@given(data=st.data(), version=st.integers(5, 2**32) | st.none() | st.text())
def test_another_version_is_named(kind: str, data: st.DataObject, version: Any) -> None:
    _, name, fields = msgpack.unpackb(KINDS[kind].encode(data.draw(KINDS[kind].values)))
    with pytest.raises(UnsupportedVersion, match="same release"):
        KINDS[kind].decode(msgpack.packb([version, name, fields]))


@pytest.mark.parametrize("read", KINDS)
@given(data=st.data())
def test_another_kind_is_refused(read: str, data: st.DataObject) -> None:
    written = data.draw(st.sampled_from([kind for kind in KINDS if kind != read]))
    with pytest.raises(MalformedMessage, match=f"kind '{read}', found '{written}'"):
        KINDS[read].decode(KINDS[written].encode(data.draw(KINDS[written].values)))


@pytest.mark.parametrize("kind", ENVELOPED)
@given(data=st.data(), added=anything)
def test_a_field_added_at_the_end_is_passed_over(kind: str, data: st.DataObject, added: Any) -> None:
    value = data.draw(KINDS[kind].values)
    version, name, fields = msgpack.unpackb(KINDS[kind].encode(value))
    assert KINDS[kind].decode(msgpack.packb([version, name, [*fields, added]])) == value


@given(outcomes, anything)
def test_fields_added_to_an_outcome_are_passed_over(outcome: Outcome, added: Any) -> None:
    plain = wire.outcome_to_plain(outcome)
    plain |= {"added": added, "artefact": [*plain["artefact"], added], "stages_ms": [*plain["stages_ms"], added]}
    assert wire.outcome_from_plain(plain) == outcome


@EVERY_KIND
@given(content=anything, protocol=st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_pickle_is_malformed(kind: str, content: Any, protocol: int) -> None:
    with pytest.raises(MalformedMessage):
        KINDS[kind].decode(pickle.dumps(["pickle", content], protocol))


@given(outcomes, st.data(), anything)
def test_a_wrong_field_of_an_outcome_never_gets_inside(outcome: Outcome, data: st.DataObject, wrong: Any) -> None:
    plain = wire.outcome_to_plain(outcome)
    plain[data.draw(st.sampled_from(sorted(plain)))] = wrong
    try:
        read = wire.outcome_from_plain(plain)
    except WireError:
        return
    hints = get_type_hints(Outcome)
    for field in Outcome.__slots__:
        if field != "scores":
            _assert_is(getattr(read, field), hints[field])
    for score in read.scores:
        _assert_is(score, Score | None)


@given(anything)
def test_an_outcome_of_anything_is_a_wire_error(plain: Any) -> None:
    with pytest.raises(WireError):
        wire.outcome_from_plain(plain)
