"""Messages that no client of ours sends: each is answered with an error, and the worker goes on."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import msgpack
import pytest
from celery import Celery
from kombu import serialization

from conftest import StartFleet
from rerank_shared.contract import wire
from rerank_shared.errors import InvalidRequest, MalformedMessage, RefusedContent, UnknownModel, UnsupportedVersion
from rerank_shared.settings import Settings
from support.fleet import TestFleet
from support.jobs import BERLIN_DOCUMENTS, BERLIN_QUERY, celery_of, make_job, send, send_payload

pytestmark = [pytest.mark.integration, pytest.mark.faults]
ANSWER_S = 30.0


@pytest.fixture
def fleet(start_fleet: StartFleet) -> TestFleet:
    return start_fleet()


@pytest.fixture
def app(settings: Settings) -> Iterator[Celery]:
    with celery_of(settings) as app:
        yield app


@pytest.fixture(autouse=True)
def _still_serving(fleet: TestFleet, app: Celery, settings: Settings) -> Iterator[None]:
    """After each of these messages the same worker process must answer a good one."""
    yield
    answer = send(app, settings, make_job(settings, BERLIN_QUERY, BERLIN_DOCUMENTS)).get(timeout=ANSWER_S)
    assert answer["complete"]
    assert fleet.processes[0].poll() is None


def test_message_of_an_unknown_version_names_both_versions(app: Celery, settings: Settings) -> None:
    _, kind, fields = msgpack.unpackb(wire.encode_job(make_job(settings, "q", ["d"])))
    with pytest.raises(UnsupportedVersion, match=r"wire version 99 .* reads 1 and 2"):
        send_payload(app, settings, msgpack.packb([99, kind, fields])).get(timeout=ANSWER_S)


@pytest.mark.parametrize(
    "payload",
    [b"", b"\xc1", b"junk", "text", 7, None, {"query": "q"}, pickle.dumps({"query": "q"})],
    ids=["empty", "reserved-byte", "junk", "text", "number", "none", "map", "pickled-bytes"],
)
def test_payload_that_is_no_job_is_malformed(app: Celery, settings: Settings, payload: object) -> None:
    with pytest.raises(MalformedMessage):
        send_payload(app, settings, payload).get(timeout=ANSWER_S)


def test_pickle_is_never_opened_and_its_sender_is_told(app: Celery, settings: Settings, fleet: TestFleet) -> None:
    serialization.enable_insecure_serializers(["pickle"])
    try:
        result = send_payload(app, settings, Explosive(), serializer="pickle")
    finally:
        serialization.disable_insecure_serializers()
    with pytest.raises(RefusedContent, match="application/x-python-serialize"):
        result.get(timeout=ANSWER_S)
    assert "it was run" not in fleet.log()


def test_unknown_model_names_the_one_that_is_served(app: Celery, settings: Settings) -> None:
    with pytest.raises(UnknownModel, match=settings.model):
        send(app, settings, make_job(settings, "q", ["d"], model="no/such-model")).get(timeout=ANSWER_S)


def test_max_length_beyond_the_models_names_the_limit(app: Celery, settings: Settings) -> None:
    with pytest.raises(InvalidRequest, match="max_length: 4096 is beyond the 512 tokens"):
        send(app, settings, make_job(settings, "q", ["d"], max_length=4096)).get(timeout=ANSWER_S)


class Explosive:
    """Writes to the worker's log if anything ever unpickles it."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("it was run",)
