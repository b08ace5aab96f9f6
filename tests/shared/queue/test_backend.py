"""How long results last, the fleet's and those of other tasks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery, states
from celery.app.task import Context

from rerank_shared.keys import Keys
from rerank_shared.queue.backend import Completion
from rerank_shared.queue.celery_app import make_celery
from rerank_shared.redis.connections import connect
from rerank_shared.settings import Settings
from support.queue.lifetimes import life_s

# Celery stores by a command that redis-py 8.1 warns of.
pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore:Call to deprecated setex")]
OURS, PLAIN = "fleet", "plain"


@pytest.fixture
def app(settings: Settings) -> Iterator[Celery]:
    with make_celery(settings) as opened:
        yield opened


@pytest.mark.parametrize("whose", [OURS, PLAIN])
@pytest.mark.parametrize(
    ("options", "state", "expected_s"),
    [
        ({"result_expires": 50}, states.SUCCESS, 50),
        ({"result_expires": 50, "result_failure_expires": 500}, states.SUCCESS, 50),
        ({"result_expires": 50, "result_failure_expires": 500}, states.FAILURE, 500),
        ({"result_expires": 0}, states.SUCCESS, -1),
        ({"result_expires": 50, "result_failure_expires": 0}, states.FAILURE, -1),
    ],
)
def test_life_time(
    app: Celery, settings: Settings, whose: str, options: dict[str, Any], state: str, expected_s: int
) -> None:
    keys = Keys(settings.namespace)
    app.conf.update(options)
    request = (
        Context(id="job", completion=Completion(keys, "job"))
        if whose == OURS
        else Context(id="job", reply_to="somebody")
    )
    app.backend.store_result("job", ValueError("no") if state == states.FAILURE else 1, state, request=request)
    with connect(settings) as client:
        assert expected_s - 20 <= life_s(client, keys, keys.result("job")) <= expected_s
        client.delete(keys.result("job"), keys.lifetimes)


def test_a_plain_task_that_succeeded_stays_so(app: Celery) -> None:
    """As with Celery's own backend: a lost worker's late failure does not overwrite the result."""
    app.backend.store_result("job", 1, states.SUCCESS, request=Context(id="job"))
    app.backend.store_result("job", ValueError("late"), states.FAILURE, request=Context(id="job"))
    assert app.AsyncResult("job").get(timeout=5) == 1
