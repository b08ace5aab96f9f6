"""Commands on a host whose clock is wrong: they go by the server's, and take nothing away."""

from __future__ import annotations

import time

import pytest

from rerank_ops.cli.admin.checks.fleet import check_fleet
from rerank_ops.cli.capacity.workload_options import cost_of
from rerank_shared import fleet
from rerank_shared.contract.messages import Heartbeat, name_of
from rerank_shared.keys import Keys
from rerank_shared.queue.backlog import backlog_member
from rerank_shared.redis.connections import connect
from rerank_shared.redis.server_clock import server_epoch
from rerank_shared.scheduling.cost import CostParameters, SharedCost
from rerank_shared.settings import Settings
from support.jobs import make_job

pytestmark = pytest.mark.integration
COST = CostParameters(0.001, 2e-4, 3e-8)


@pytest.mark.parametrize("ahead_s", [-86_400.0, 86_400.0])
def test_a_wrong_clock_hides_no_worker_and_drops_no_job(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, ahead_s: float
) -> None:
    keys, model = Keys(settings.namespace), name_of(settings.model)
    with connect(settings) as client:
        now = server_epoch(client)
        fleet.beat(client, keys, Heartbeat("w", model, "h", 1, None, now, 5.0, 0, 0), now + 600)
        fleet.share_cost(client, keys, [model], "int8|h", SharedCost(COST, now))
        fleet.share_cost(client, keys, [model], "int8|gone", SharedCost(CostParameters(9.0, 9.0, 9.0), now - 86_400))
        job = make_job(settings, "q", ["d"], tokens=50, pairs=1)
        client.zadd(keys.backlog("interactive"), {backlog_member(job): now + 600})
        here = time.time
        monkeypatch.setattr(time, "time", lambda: here() + ahead_s)
        assert cost_of(settings, None, from_fleet=True) == COST
        workers, backlog = check_fleet(settings)
        assert workers.message.startswith("1 alive on h")
        assert backlog.message.startswith("1 interactive")
        assert client.zcard(keys.backlog("interactive")) == 1
