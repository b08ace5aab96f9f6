"""What the doctor says of a name that different hosts give to different models."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
import redis

from rerank_ops.cli.admin.checks.fleet import check_fleet
from rerank_shared import fleet
from rerank_shared.contract.digest import pool_id
from rerank_shared.contract.messages import Heartbeat, ScoringIdentity
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import connect
from rerank_shared.settings import Settings
from support.pools import IDENTITY

pytestmark = pytest.mark.integration
OTHER = replace(IDENTITY, model="org/other", model_digest="cc" * 32)


@pytest.fixture
def client(settings: Settings) -> Iterator[redis.Redis]:
    with connect(settings) as opened:
        yield opened


def serve(client: redis.Redis, settings: Settings, host: str, identity: ScoringIdentity, *names: str) -> None:
    keys, soon, pipe = Keys(settings.namespace), time.time() + 60.0, client.pipeline()
    fleet.announce(pipe, keys, identity, soon, names)
    beat = Heartbeat(f"w-{host}", identity.model, host, 1, None, soon, 1.0, 0, 0, pools=(pool_id(identity),))
    fleet.beat(pipe, keys, beat, soon)
    pipe.execute()


def told(settings: Settings) -> list[str]:
    return [finding.message for finding in check_fleet(settings) if finding.name == "names"]


def test_a_name_of_two_models_is_told_with_their_hosts(client: redis.Redis, settings: Settings) -> None:
    serve(client, settings, "a", replace(IDENTITY, model=settings.model), settings.model, "fast")
    serve(client, settings, "b", OTHER, "org/other", "fast")
    (message,) = told(settings)
    assert message.startswith("fast means several models, among which its queries are divided: ")
    assert f"{settings.model} on a" in message
    assert "org/other on b" in message


def test_names_that_hosts_agree_on_are_not_told(client: redis.Redis, settings: Settings) -> None:
    """Nor two artefacts of one model, which the check of pools tells."""
    own = replace(IDENTITY, model=settings.model)
    serve(client, settings, "a", own, settings.model, "fast")
    serve(client, settings, "b", replace(own, model_digest="dd" * 32), settings.model, "fast")
    serve(client, settings, "c", OTHER, "org/other", "slow")
    assert told(settings) == []
