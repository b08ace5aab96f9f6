"""Keys: no two things share one, and no namespace reaches into another."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import example, given
from hypothesis import strategies as st

from rerank_shared.keys import JOB_CLASSES, QUEUES, JobClass, Keys

#: Each kind of key as a function of its argument; what takes none ignores it.
WITH_TEXT: dict[str, Callable[[Keys, str], str | bytes]] = {
    "result": Keys.result,
    "reply": Keys.reply,
    "text": Keys.text,
    "request": Keys.request,
    "identity": Keys.identity,
    "pools_of": Keys.pools_of,
    "worker": Keys.worker,
    "cost": Keys.cost,
    "deaths": Keys.deaths,
    "order interactive": lambda keys, argument: keys.order("interactive", argument),
    "order bulk": lambda keys, argument: keys.order("bulk", argument),
    "score": lambda keys, argument: keys.score(argument.encode()),
    "bucket": Keys.bucket,
    "route_versions": Keys.route_versions,
    "routed": lambda keys, argument: keys.routed(argument, 1),
    "shadowed": lambda keys, argument: keys.shadowed(argument, 1),
    "shadow_worst": lambda keys, argument: keys.shadow_worst(argument, 1),
    "rollout": Keys.rollout,
    "rollout_holder": Keys.rollout_holder,
    "deviations": lambda keys, argument: keys.deviations("0" * 32, None, argument),
    "deviations of tenants": lambda keys, argument: keys.deviations("0" * 32, argument, ""),
    "trial": Keys.trial,
    "control_channel": lambda keys, argument: keys.control_channel(int.from_bytes(b"\1" + argument.encode())),
    "flight": lambda keys, argument: keys.flight(argument.encode()),
    # A slot is a number: any two arguments that differ must give two that differ.
    "latency": lambda keys, argument: keys.latency(int.from_bytes(b"\1" + argument.encode())),
    "activity": lambda keys, argument: keys.activity(int.from_bytes(b"\1" + argument.encode())),
}
WITHOUT: dict[str, Callable[[Keys], str | bytes]] = {
    "control_bindings": lambda keys: keys.control_bindings,
    "unacked": lambda keys: keys.unacked,
    "leases": lambda keys: keys.leases,
    "cache_counters": lambda keys: keys.cache_counters,
    "models": lambda keys: keys.models,
    "workers": lambda keys: keys.workers,
    "pooled": lambda keys: keys.pooled,
    "pools": lambda keys: keys.pools,
    "named": lambda keys: keys.named,
    "routes": lambda keys: keys.routes,
    "queue interactive": lambda keys: keys.queue_list("interactive"),
    "queue bulk": lambda keys: keys.queue_list("bulk"),
    "waiting interactive": lambda keys: keys.waiting("interactive"),
    "waiting bulk": lambda keys: keys.waiting("bulk"),
    "served interactive": lambda keys: keys.served("interactive"),
    "served bulk": lambda keys: keys.served("bulk"),
    "fair": lambda keys: keys.fair,
    "feedback": lambda keys: keys.feedback,
    "feedback_copy": lambda keys: keys.feedback_copy,
    "lease_owners": lambda keys: keys.lease_owners,
    "dead": lambda keys: keys.dead,
    "dead_index": lambda keys: keys.dead_index,
    "lifetimes": lambda keys: keys.lifetimes,
    "backlog interactive": lambda keys: keys.backlog("interactive"),
    "backlog bulk": lambda keys: keys.backlog("bulk"),
    "backlog_sums interactive": lambda keys: keys.backlog_sums("interactive"),
    "backlog_sums bulk": lambda keys: keys.backlog_sums("bulk"),
}
#: Arguments made of what keys are made of, since only those could make one kind look like another.
PIECES = ["", ":", "s", "_index", "-", "|", "score", "worker", "jobs.bulk", "celery-task-meta-", "text", "cost", "a"]
PIECES += ["deaths", "order:bulk", "lifetimes", "leases", "jobs", "@", "0a", "pools"]
#: Kinds that each pool has of its own, by what the name of the kind starts with.
OF_POOLS = ("queue", "waiting", "order", "served", "fair", "backlog", "workers")
pools = st.sampled_from(["", "0a", "0123456789ab"])
arguments = st.lists(st.sampled_from(PIECES), max_size=4).map("".join) | st.text(max_size=8)
places = st.tuples(st.sampled_from(sorted(WITH_TEXT)), arguments) | st.tuples(
    st.sampled_from(sorted(WITHOUT)), st.just("")
)
namespaces = st.from_regex(r"[A-Za-z0-9_.-]{1,8}", fullmatch=True)


def spell(namespace: str, place: tuple[str, str], pool: str = "") -> bytes:
    kind, argument = place
    keys = Keys(namespace).of(pool)
    key = WITHOUT[kind](keys) if kind in WITHOUT else WITH_TEXT[kind](keys, argument)
    return key.encode() if isinstance(key, str) else key


def test_every_key_is_spelled_here() -> None:
    spelled = {name for name in vars(Keys) if not name.startswith("_")} - {"namespace", "pool", "of", "prefix"}
    spelled -= {"score_prefix", "queue_prefixes"}
    known = {*(name.partition(" ")[0] for name in (*WITH_TEXT, *WITHOUT)), "queue_list", "is_reply"}
    assert spelled == known
    assert {f"queue {name}" for name in JOB_CLASSES} <= set(WITHOUT)


@given(places, places, pools, pools)
@example(("worker", "s"), ("workers", ""), "", "")
@example(("order bulk", ":0a:x"), ("order bulk", "x"), "", "0a")
def test_different_things_have_different_keys(
    one: tuple[str, str], other: tuple[str, str], of_one: str, of_other: str
) -> None:
    same = one == other and (of_one == of_other or not one[0].startswith(OF_POOLS))
    assert (spell("fleet", one, of_one) == spell("fleet", other, of_other)) == same


@given(pools, st.sampled_from(JOB_CLASSES), arguments)
def test_the_keys_of_queues_start_as_their_scripts_read_them(pool: str, job_class: JobClass, tenant: str) -> None:
    keys = Keys("fleet", pool)
    fair, lists, waiting, served, order = keys.queue_prefixes
    queue = keys.queue(job_class)
    name = queue.removeprefix(QUEUES)
    assert (lists + name, fair + queue.removeprefix(f"{QUEUES}{job_class}")) == (keys.queue_list(job_class), keys.fair)
    assert (waiting + name, served + name) == (keys.waiting(job_class), keys.served(job_class))
    assert f"{order}{name}:{tenant}" == keys.order(job_class, tenant)


@given(namespaces, namespaces, places)
def test_a_key_belongs_to_its_namespace_alone(one: str, other: str, place: tuple[str, str]) -> None:
    key = spell(one, place)
    assert key.startswith(Keys(one).prefix.encode())
    assert key.startswith(Keys(other).prefix.encode()) == (one == other)


@given(st.binary(max_size=16), st.binary(max_size=16))
def test_a_score_has_its_digest_in_its_key(one: bytes, other: bytes) -> None:
    keys = Keys("fleet")
    assert (keys.score(one) == keys.score(other)) == (one == other)
    assert keys.score(one).startswith(keys.score_prefix)


@given(arguments)
def test_only_a_client_s_own_channel_is_a_reply(argument: str) -> None:
    keys = Keys("fleet")
    assert keys.is_reply(keys.reply(argument))
    assert not keys.is_reply(keys.result(argument))
    assert not keys.is_reply(Keys("fleet2").reply(argument))
    assert not keys.is_reply(None)
