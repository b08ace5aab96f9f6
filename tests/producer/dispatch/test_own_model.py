"""A request that names no model: an error about its model says which setting chose it."""

from __future__ import annotations

from pathlib import Path

import pytest

from rerank_producer import AsyncRerankClient, NoWorkers, RerankClient, UnknownModel
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import connect
from rerank_shared.redis.server_clock import server_epoch
from rerank_shared.settings import Settings, load_settings
from rerank_shared.settings.environ.model_origin import model_origin
from support.pools import IDENTITY, announce

pytestmark = pytest.mark.integration


@pytest.fixture
def loaded(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of a client whose environment names a model that the fleet does not know."""
    monkeypatch.setenv("RERANK_MODEL", "org/mine")
    with connect(settings) as client:
        announce(client, Keys(settings.namespace), IDENTITY, "a-1", now=server_epoch(client))
    return load_settings(redis_url=settings.redis_url, namespace=settings.namespace)


async def test_an_unknown_model_is_told_with_the_setting_that_names_it(loaded: Settings) -> None:
    told = r"which knows org/name.* \(the request names no model, and 'org/mine' is RERANK_MODEL\)"
    with RerankClient(loaded) as client:
        for ask in (lambda: client.rerank("q", ["d"]), lambda: client.submit("q", ["d"]), client.model_info):
            with pytest.raises(UnknownModel, match=told):
                ask()
        with pytest.raises(UnknownModel) as named:
            client.rerank("q", ["d"], model="org/mine")
        assert "names no model" not in named.value.message
    async with AsyncRerankClient(loaded) as client:
        with pytest.raises(UnknownModel, match=told):
            await client.rerank("q", ["d"])


def test_so_is_one_that_no_live_worker_serves(settings: Settings) -> None:
    """Nobody has announced any model."""
    told = rf"models load {settings.model}`\. \(the request names no model, and .* is the default of RERANK_MODEL\)"
    with RerankClient(settings) as client, pytest.raises(NoWorkers, match=told):
        client.rerank("q", ["d"], deadline_ms=100, partial=False)


def test_the_setting_is_the_one_that_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert model_origin(load_settings()) == "the default of RERANK_MODEL"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fleet.toml").write_text("[[models]]\nname = 'org/a'\n")
    assert model_origin(load_settings()) == "the first of fleet.toml"
    monkeypatch.setenv("RERANK_MODELS", "org/b,org/c")
    assert model_origin(load_settings()) == "the first of RERANK_MODELS"
    monkeypatch.setenv("RERANK_MODEL", "org/c")
    assert model_origin(load_settings()) == "RERANK_MODEL"
    assert model_origin(load_settings(model="org/d")) == "the model that the client was given"
